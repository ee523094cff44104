"""Predictions as JSON lines, CSV or Parquet, and the files that a command line names."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from emoadapt.errors import ConfigError
from emoadapt.inference.decoding import is_pipe
from emoadapt.listing.folders import describe_passed_over, survey_folder
from emoadapt.storage.files import replacing
from emoadapt.storage.spreadsheets import CsvWriter

if TYPE_CHECKING:
    from emoadapt.inference.predict import Prediction

DIGITS = 6
"""Decimals of probabilities and values."""
TIME_DIGITS = 5
"""Decimals of times, in s: less than a sample."""
ROWS_AT_ONCE = 4096
"""Rows that a Parquet file gets at once."""
SECONDS_BETWEEN_LOOKS = 0.2


def list_files(paths: Sequence[Path], *, recursive: bool = False, listed: Path | None = None) -> list[Path]:
    """List the named files in their order.

    Files that are passed over in folders are counted on the standard error.

    Args:
        paths: files, `-` for the standard input; folders, if `recursive`: all media files below them, by their extensions (`MEDIA_EXTENSIONS`).
        recursive: take folders.
        listed: a text file with one path per line, or with NUL between paths (`find -print0`); `-` is the standard input.

    Raises:
        ConfigError: a folder without `recursive`, a list that cannot be read, a standard input that is a terminal or is named twice, or no file
            at all.
        CorpusError: a folder cannot be read.
    """
    if listed is not None and is_pipe(listed):
        _check_stdin([listed, *filter(is_pipe, paths)])
    named = [*paths, *(_read_list(listed) if listed is not None else ())]
    files = []
    for path in named:
        # Unlike that of pathlib this knows no path that it cannot answer for; what is wrong with it is said in its row.
        if not os.path.isdir(path):  # noqa: PTH112
            _refuse_named_pipe(path)
            files.append(path)
        elif recursive:
            content = survey_folder(path)
            files += [path / name for name in content.media]
            if passed_over := describe_passed_over(content.others, content.hidden):
                print(f"emoadapt: {path}: {passed_over} (a file that is named is read all the same)", file=sys.stderr)
        else:
            raise ConfigError(f"{path} is a folder; name files, or add --recursive for all media files below it")
    _check_stdin([*filter(is_pipe, files)])
    if not files:
        raise ConfigError("no file is named; name files, folders with --recursive, or a list with --list")
    return files


def _check_stdin(uses: Sequence[Path]) -> None:
    """Refuse a standard input that nobody writes to, or that is to be read twice."""
    if len(uses) > 1:
        raise ConfigError("the standard input is named twice and can be read once; name it once")
    if uses and sys.stdin.isatty():
        raise ConfigError(
            f"{uses[0]} is the standard input, which is this terminal; write a command before it that gives the data: COMMAND | emoadapt predict ..."
        )


def _refuse_named_pipe(path: Path) -> None:
    """Refuse a pipe with a name, such as one of `<(COMMAND)`, which a worker cannot read."""
    with suppress(OSError, ValueError):
        if not is_pipe(path) and stat.S_ISFIFO(path.stat().st_mode):
            raise ConfigError(
                f"{path} is a pipe; the standard input alone is read as one: COMMAND | emoadapt predict MODEL -"
            )


def _read_list(path: Path) -> list[Path]:
    try:
        content = sys.stdin.buffer.read() if is_pipe(path) else path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the list {path} cannot be read ({error.strerror}); it is a text file with one path per line"
        ) from None
    # Names of other systems' encodings are kept as they are.
    text = os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
    lines = text.split("\0") if "\0" in text else re.split(r"\r?\n", text)
    return [Path(line) for line in lines if line.strip()]


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Make sure that what is to be written is nothing that is to be read.

    Raises:
        ConfigError: it is.
    """
    for path in inputs:
        with suppress(OSError):
            if output.samefile(path):
                raise ConfigError(f"{output} is an input and would be overwritten; write to another file")


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """The file to write to, or the standard output; UTF-8 in any case.

    Raises:
        ConfigError: it cannot be written.
    """
    with explain_writing(path or "the standard output"):
        if path is None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")
            yield sys.stdout
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                yield file


def remove_output(path: Path) -> None:
    """Remove what an earlier call wrote for a recording that fails now: it would be taken for a result of this call.

    Raises:
        ConfigError: it cannot be removed.
    """
    with explain_writing(path):
        if path.is_file():
            path.unlink()


@contextmanager
def explain_writing(place: Path | str) -> Iterator[None]:
    """Explain why a place cannot be written.

    Raises:
        ConfigError: it cannot.
    """
    try:
        yield
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`).
        raise
    except OSError as error:
        raise ConfigError(f"{place} cannot be written ({error.strerror}); name another one") from None


def write_predictions(
    predictions: Iterable[Prediction],
    file: TextIO,
    classes: Sequence[str] = (),
    attributes: Sequence[str] = (),
    *,
    as_csv: bool = False,
    texts: bool = False,
    segments: bool = False,
) -> dict[str, int]:
    """Write predictions one by one, each at once.

    A JSON line has the keys of a `Prediction` that are not None. A CSV file has the columns file, start, end, status,
    label, `p_<class>` for each class, reason; of a model that rates attributes the columns file, start, end, status, one for
    each attribute, reason. Before the reason stand the number of windows of a segment, and the text of a model that reads one.

    Args:
        predictions: rows, in order.
        file: open text file.
        classes: in the order of the columns.
        attributes: the same.
        as_csv: CSV instead of JSON lines.
        texts: whether the model reads text.
        segments: whether rows are segments.

    Returns:
        Status -> number of rows.
    """
    columns = _list_columns(classes, attributes, texts, segments)
    write = _begin_csv(file, columns) if as_csv else _begin_json(file)
    counts: dict[str, int] = {}
    for prediction in predictions:
        write(_list_values(prediction))
        file.flush()
        counts[prediction.status] = counts.get(prediction.status, 0) + 1
    return counts


def write_parquet(
    predictions: Iterable[Prediction],
    path: Path,
    classes: Sequence[str] = (),
    attributes: Sequence[str] = (),
    *,
    texts: bool = False,
    segments: bool = False,
) -> dict[str, int]:
    """Write predictions as a Parquet file with the columns of the CSV file; it is there once it is whole.

    Args:
        predictions: rows, in order.
        path: the file.
        classes: as for `write_predictions`, and so are the others.
        attributes: see there.
        texts: see there.
        segments: see there.

    Returns:
        Status -> number of rows.
    """
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"start": pa.float64(), "end": pa.float64(), "windows": pa.int32()}
    numbers = {*attributes, *(f"p_{name}" for name in classes)}
    names = _list_columns(classes, attributes, texts, segments)
    schema = pa.schema([(name, pa.float64() if name in numbers else kinds.get(name, pa.string())) for name in names])
    counts: dict[str, int] = {}
    with explain_writing(path), replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
        rest = iter(predictions)
        while rows := list(islice(rest, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([_flatten(_list_values(row)) for row in rows], schema))
            for row in rows:
                counts[row.status] = counts.get(row.status, 0) + 1
    return counts


def show_progress(predictions: Iterable[Prediction], n_files: int, terminal: TextIO) -> Iterator[Prediction]:
    """Pass predictions on and say on a terminal how far they are."""
    done, windows, before, said = 0, 0, None, 0.0
    for prediction in predictions:
        done, before = done + (prediction.file != before), prediction.file
        windows += prediction.status == "ok"
        if time.monotonic() - said > SECONDS_BETWEEN_LOOKS:
            said = time.monotonic()
            terminal.write(f"\rfile {done} of {n_files}, {windows} predictions")
            terminal.flush()
        yield prediction
    terminal.write(f"\rfile {done} of {n_files}, {windows} predictions\n")


def _list_values(prediction: Prediction) -> dict[str, Any]:
    """The fields of a prediction that have a value, for a text file."""
    values: dict[str, Any] = {
        "file": _make_writable(str(prediction.file)),
        "start": None if prediction.start is None else round(prediction.start, TIME_DIGITS),
        "end": None if prediction.end is None else round(prediction.end, TIME_DIGITS),
        "status": prediction.status,
        "label": prediction.label,
        "windows": prediction.windows,
        "text": prediction.text,
        "reason": None if prediction.reason is None else _make_writable(prediction.reason),
    }
    for key in ("probabilities", "values"):
        if (found := getattr(prediction, key)) is not None:
            values[key] = {name: round(value, DIGITS) for name, value in found.items()}
    return {name: value for name, value in values.items() if value is not None}


def _make_writable(text: str) -> str:
    """Text with a name in it that may be no UTF-8, which could not be written."""
    return os.fsencode(text).decode("utf-8", "replace")


def _begin_json(file: TextIO) -> Callable[[dict[str, Any]], object]:
    return lambda values: file.write(json.dumps(values, ensure_ascii=False) + "\n")


def _list_columns(classes: Sequence[str], attributes: Sequence[str], texts: bool, segments: bool) -> list[str]:
    outputs = attributes or ["label", *(f"p_{name}" for name in classes)]
    more = [*(["windows"] if segments else []), *(["text"] if texts else [])]
    return ["file", "start", "end", "status", *outputs, *more, "reason"]


def _begin_csv(file: TextIO, columns: Sequence[str]) -> Callable[[dict[str, Any]], object]:
    writer = CsvWriter(file, columns)
    writer.write_header()
    return lambda values: writer.write_row(_flatten(values))


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """A row of a table, with a column for each class or attribute."""
    probabilities = {f"p_{name}": value for name, value in values.pop("probabilities", {}).items()}
    ratings = values.pop("values", {})
    return values | probabilities | ratings
