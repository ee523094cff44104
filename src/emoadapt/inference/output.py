"""Predictions as JSON lines or CSV, and the files that a command line names."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from emoadapt.errors import ConfigError
from emoadapt.listing.folders import describe_passed_over, survey_folder
from emoadapt.storage.spreadsheets import CsvWriter

if TYPE_CHECKING:
    from emoadapt.inference.predict import Prediction

DIGITS = 6
"""Decimals of probabilities and values."""
SECONDS_BETWEEN_LOOKS = 0.2


def list_files(paths: Sequence[Path], *, recursive: bool = False, listed: Path | None = None) -> list[Path]:
    """List the named files in their order.

    Files that are passed over in folders are counted on the standard error.

    Args:
        paths: files; folders, if `recursive`: all media files below them, by their extensions (`MEDIA_EXTENSIONS`).
        recursive: take folders.
        listed: a text file with one path per line, or with NUL between paths (`find -print0`); `-` is the standard input.

    Raises:
        ConfigError: a folder without `recursive`, a list that cannot be read, or no file at all.
        CorpusError: a folder cannot be read.
    """
    named = [*paths, *(_read_list(listed) if listed is not None else ())]
    files = []
    for path in named:
        # Unlike that of pathlib this knows no path that it cannot answer for; what is wrong with it is said in its row.
        if not os.path.isdir(path):  # noqa: PTH112
            files.append(path)
        elif recursive:
            content = survey_folder(path)
            files += [path / name for name in content.media]
            if passed_over := describe_passed_over(content.others, content.hidden):
                print(f"emoadapt: {path}: {passed_over} (a file that is named is read all the same)", file=sys.stderr)
        else:
            raise ConfigError(f"{path} is a folder; name files, or add --recursive for all media files below it")
    if not files:
        raise ConfigError("no file is named; name files, folders with --recursive, or a list with --list")
    return files


def _read_list(path: Path) -> list[Path]:
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
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
    try:
        if path is None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")
            yield sys.stdout
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                yield file
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`).
        raise
    except OSError as error:
        place = "the standard output" if path is None else path
        raise ConfigError(f"{place} cannot be written ({error.strerror}); name another file with --output") from None


def write_predictions(
    predictions: Iterable[Prediction],
    file: TextIO,
    classes: Sequence[str] = (),
    attributes: Sequence[str] = (),
    *,
    as_csv: bool = False,
    texts: bool = False,
) -> dict[str, int]:
    """Write predictions one by one, each at once.

    A JSON line has the keys of a `Prediction` that are not None. A CSV file has the columns file, start, end, status,
    label, `p_<class>` for each class, reason; of a model that rates attributes the columns file, start, end, status, one for
    each attribute, reason. Before the reason stands the text, of a model that reads one.

    Args:
        predictions: rows, in order.
        file: open text file.
        classes: in the order of the columns.
        attributes: the same.
        as_csv: CSV instead of JSON lines.
        texts: whether the model reads text.

    Returns:
        Status -> number of rows.
    """
    write = _begin_csv(file, classes, attributes, texts) if as_csv else _begin_json(file)
    counts: dict[str, int] = {}
    for prediction in predictions:
        write(_list_values(prediction))
        file.flush()
        counts[prediction.status] = counts.get(prediction.status, 0) + 1
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
        "start": None if prediction.start is None else round(prediction.start, 3),
        "end": None if prediction.end is None else round(prediction.end, 3),
        "status": prediction.status,
        "label": prediction.label,
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


def _begin_csv(
    file: TextIO, classes: Sequence[str], attributes: Sequence[str], texts: bool
) -> Callable[[dict[str, Any]], object]:
    outputs = attributes or ["label", *(f"p_{name}" for name in classes)]
    columns = ["file", "start", "end", "status", *outputs, *(["text"] if texts else []), "reason"]
    writer = CsvWriter(file, columns)
    writer.write_header()

    def write(values: dict[str, Any]) -> None:
        probabilities = {f"p_{name}": value for name, value in values.pop("probabilities", {}).items()}
        ratings = values.pop("values", {})
        writer.write_row(values | probabilities | ratings)

    return write
