"""The command `emoadapt predict`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar

from emoadapt.errors import ConfigError, EmoadaptError, name_count
from emoadapt.inference.classifier import load_classifier, refuse_other_folder
from emoadapt.inference.decoding import Listening, is_pipe
from emoadapt.inference.devices import choose_devices
from emoadapt.inference.judging import open_reader
from emoadapt.inference.labels import SUFFIXES, LabelWriter, name_outputs, refuse_other_content
from emoadapt.inference.options import Judging
from emoadapt.inference.output import (
    explain_writing,
    list_files,
    open_output,
    refuse_overwriting,
    remove_output,
    show_progress,
    write_parquet,
    write_predictions,
)
from emoadapt.inference.predict import choose_listening, predict_apart, predict_in_processes
from emoadapt.inference.segments import merge_windows
from emoadapt.inference.transcripts import is_table, read_languages, read_transcripts
from emoadapt.layers.heads import SupportVectorHead

if TYPE_CHECKING:
    from emoadapt.inference.classifier import EmotionClassifier
    from emoadapt.inference.prediction import Prediction

T = TypeVar("T")
Format = Literal["json", "csv", "parquet", "audacity", "webvtt"]
PICTURES = (".png", ".svg", ".pdf")
"""Suffixes of pictures."""
OF_DECISIONS = (
    "its probabilities are the softmax of its decision values, which rank the classes of a clip and say no more"
)
"""End of a note on a support vector machine."""


def run_predict(
    model: Path,
    paths: Sequence[Path],
    output: Path | None = None,
    *,
    form: Format = "json",
    segments: bool = False,
    plot: Path | None = None,
    recursive: bool = False,
    listed: Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    whole: bool = False,
    quietest: float | None = None,
    rate: int | None = None,
    batch_size: int = 8,
    device: str = "auto",
    jobs: int | None = None,
    transcripts: Path | None = None,
    language: str | None = None,
    models_dir: Path | None = None,
) -> bool:
    """Predict the emotions of files and write them as they are ready.

    Args:
        model: folder of a fine-tuned model.
        paths: files, `-` for the standard input, and with `recursive` folders.
        output: file to write; None = the standard output. Labels of several recordings: a folder.
        form: format of the output.
        segments: merge neighbouring windows of one class; `audacity` and `webvtt` always do.
        plot: picture to draw; for several recordings a folder of pictures.
        recursive: take folders.
        listed: text file with more paths.
        window: as in `predict_files`, and so are `hop`, `whole`, `quietest`, `rate`, `batch_size` and `models_dir`.
        hop: see there.
        whole: see there.
        quietest: see there.
        rate: see there.
        batch_size: see there.
        device: as in `choose_devices`, and so is `jobs`.
        jobs: see there.
        transcripts: file with what is said in each file (`inference.transcripts`).
        language: ISO 639-1 code of what is said, or a table with the code of each file.
        models_dir: see `predict_files`.

    Returns:
        Whether no file failed.

    Raises:
        ConfigError: options or paths cannot be used.
        ModelError: the folder holds no classifier.
    """
    with _Refusals() as refusals:
        refusals.take(refuse_other_folder, model)
        refusals.take(_refuse_unfit_output, form, output)
        devices = refusals.take(choose_devices, device, jobs)
        files = refusals.take(list_files, paths, recursive=recursive, listed=listed)
        refusals.take(_refuse_rate, rate, files)
        labels = refusals.take(_choose_labels, files, output, form)
        pictures = refusals.take(_name_pictures, files, plot)
    places = _Places(form, None if labels else output, labels, pictures)
    codes = Path(language) if language is not None and is_table(language) else None
    places.refuse_overwriting([*files, *filter(None, [listed, transcripts, codes])])
    judging = _read_judging(files, batch_size, transcripts, language, models_dir)
    listening = choose_listening(window, hop, whole, judging.transcripts, quietest, rate, peaks=plot is not None)
    classifier = load_classifier(model)
    if isinstance(classifier.head, SupportVectorHead):
        print(f"note: {model} is a support vector machine; {OF_DECISIONS}", file=sys.stderr)
    predictions = _begin(_predict(classifier, model, files, listening, judging, devices))
    with closing(predictions):
        merged = segments or form in SUFFIXES
        counts = _write(_follow(predictions, places, classifier, merged, len(files)), places, classifier, merged)
    _report(counts, places)
    return not counts["failed"]


MISSING = object()
"""Result of what was refused."""


class _Refusals:
    """Collects what is wrong with a call, so that one refusal names it all."""

    def __init__(self) -> None:
        self.found: list[EmoadaptError] = []

    def __enter__(self) -> _Refusals:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None and len(self.found) == 1:
            raise self.found[0]
        if error is None and self.found:
            problems = [problem for refusal in self.found for problem in refusal.problems]
            raise ConfigError(problems, head=f"{name_count(len(problems), 'problem')}:")

    def take(self, function: Callable[..., T], *values: Any, **options: Any) -> T:
        """Result of a function; `MISSING` if it refuses, or if an argument is `MISSING`. A refusal is raised at the end."""
        if MISSING in values:
            return MISSING  # type: ignore[return-value]
        try:
            return function(*values, **options)
        except EmoadaptError as error:
            self.found.append(error)
            return MISSING  # type: ignore[return-value]


def _refuse_rate(rate: int | None, files: Sequence[Path]) -> None:
    """Refuse a sample rate without a pipe.

    Raises:
        ConfigError: there is one.
    """
    if rate is not None and not any(map(is_pipe, files)):
        raise ConfigError("--rate is of raw samples on the standard input; name - as a file, or leave --rate out")


def _read_judging(
    files: Sequence[Path], batch_size: int, transcripts: Path | None, language: str | None, models_dir: Path | None
) -> Judging:
    """Options of the prediction: transcripts and languages, if a person gives them."""
    texts = None if transcripts is None else read_transcripts(transcripts, files)
    if language is not None and is_table(language):
        return Judging(batch_size, texts, None, read_languages(Path(language), files), models_dir)
    stated = (
        read_languages(transcripts, files, required=False)
        if transcripts is not None and is_table(transcripts)
        else None
    )
    return Judging(batch_size, texts, language, stated or None, models_dir)


def _predict(
    classifier: EmotionClassifier,
    model: Path,
    files: Sequence[Path],
    listening: Listening,
    judging: Judging,
    devices: Sequence[str],
) -> Generator[Prediction]:
    if len(devices) == 1:
        return predict_apart(classifier, files, listening, judging, devices[0])
    if classifier.inputs is None:
        open_reader(classifier, judging, "cpu")
    return predict_in_processes(model, files, listening, judging, devices)


def _begin(predictions: Generator[Prediction]) -> Generator[Prediction]:
    """Compute the first prediction, so that wrong options raise an error before an output file is replaced."""
    first = next(predictions, None)

    def iterate() -> Generator[Prediction]:
        with closing(predictions):
            yield from chain([] if first is None else [first], predictions)

    return iterate()


@dataclass(frozen=True)
class _Places:
    """Files that a command writes.

    Args:
        form: format of the output.
        output: file of all predictions; None: the standard output, or a file for each recording.
        labels: recording -> file of its labels; empty: all are written to `output`.
        pictures: recording -> its picture.
    """

    form: Format
    output: Path | None
    labels: dict[Path, Path]
    pictures: dict[Path, Path]

    def refuse_overwriting(self, inputs: Sequence[Path]) -> None:
        """Refuse to replace a file that is read.

        Raises:
            ConfigError: an output is an input.
        """
        for place in [*([] if self.output is None else [self.output]), *self.labels.values(), *self.pictures.values()]:
            refuse_overwriting(place, inputs)

    def open(self, file: Path) -> AbstractContextManager[TextIO]:
        """Open the labels of a recording."""
        place = self.labels.get(file)
        if place is not None:
            with explain_writing(place.parent):
                place.parent.mkdir(parents=True, exist_ok=True)
        return open_output(place)

    def describe(self) -> str:
        """The files, in words; empty where all went to the standard output."""
        words = [] if self.output is None else [str(self.output)]
        words += [
            _describe_files(found, what) for found, what in ((self.labels, "file"), (self.pictures, "picture")) if found
        ]
        return ", ".join(filter(None, words))


def _describe_files(named: Mapping[Path, Path], what: str) -> str:
    """The only file that was written, or the number of such files and their folder; empty without any."""
    places = [place for place in named.values() if place.exists()]
    if len(places) < 2:
        return "".join(map(str, places))
    return f"{name_count(len(places), what)} in {Path(os.path.commonpath([place.parent for place in places]))}"


def _refuse_unfit_output(form: Format, output: Path | None) -> None:
    """Refuse a place that does not fit the format, whatever the recordings.

    Raises:
        ConfigError: a binary file on the terminal, or a table for a folder.
    """
    if form == "parquet" and output is None:
        raise ConfigError("a Parquet file is no text for a terminal; name a file with --output")
    if form not in SUFFIXES and output is not None and output.is_dir():
        raise ConfigError(f"{output} is a folder, and {form} is one file of all recordings; name a file")


def _choose_labels(files: list[Path], output: Path | None, form: Format) -> dict[Path, Path]:
    """Recording -> file of its labels; empty if all are written to one file.

    Raises:
        ConfigError: the output does not fit the number of recordings, or a folder holds other files where labels are to be.
    """
    if form not in SUFFIXES:
        return {}
    if output is None and len(files) > 1:
        raise ConfigError(
            f"{form} labels are one file for each of {len(files)} recordings; name a folder with --output"
        )
    labels = {} if output is None else name_outputs(files, output, SUFFIXES[form], f"{form} labels")
    # A file that is named is replaced, as everywhere.
    refuse_other_content([place for place in labels.values() if place != output], form)
    return labels


def _name_pictures(files: list[Path], plot: Path | None) -> dict[Path, Path]:
    """Recording -> its picture.

    Raises:
        ConfigError: it is in no known format, or one picture for several recordings.
    """
    if plot is None:
        return {}
    if len(files) == 1 and not plot.is_dir() and plot.suffix.lower() not in PICTURES:
        raise ConfigError(
            f"--plot {plot} is in no format that is drawn; name a file that ends in {', '.join(PICTURES)}"
        )
    return name_outputs(files, plot, ".png", "pictures")


def _follow(
    predictions: Iterable[Prediction], places: _Places, classifier: EmotionClassifier, merged: bool, n_files: int
) -> Iterator[Prediction]:
    """Pass predictions on; draw pictures and show progress on the way, and merge windows if wanted."""
    if places.pictures:
        from emoadapt.inference.plot import draw_recordings

        predictions = draw_recordings(predictions, places.pictures, classifier.outputs)
    # Where the results themselves appear on the terminal, they are the progress.
    if sys.stderr.isatty() and not (places.output is None and not places.labels and sys.stdout.isatty()):
        predictions = show_progress(predictions, n_files, sys.stderr)
    return merge_windows(predictions) if merged else iter(predictions)


def _write(
    predictions: Iterator[Prediction], places: _Places, classifier: EmotionClassifier, merged: bool
) -> Counter[str]:
    """Write predictions, and count them by status."""
    outputs, texts = (classifier.classes, classifier.attributes), classifier.reads_text
    if places.form in SUFFIXES:
        return _write_labels(predictions, places)
    if places.form == "parquet":
        assert places.output is not None
        return Counter(write_parquet(predictions, places.output, *outputs, texts=texts, segments=merged))
    with open_output(places.output) as file:
        as_csv = places.form == "csv"
        return Counter(write_predictions(predictions, file, *outputs, as_csv=as_csv, texts=texts, segments=merged))


def _write_labels(predictions: Iterator[Prediction], places: _Places) -> Counter[str]:
    """Write labels; print failed files and segments without label on the standard error."""
    counts, codes, seconds = Counter[str](), Counter[str](), 0.0
    with closing(LabelWriter(places.form, places.open)) as writer:
        for segment in predictions:
            writer.write(segment)
            counts[segment.status] += 1
            if segment.status == "failed":
                print(f"emoadapt: {segment.file}: {segment.reason}", file=sys.stderr)
            elif segment.status == "absent":
                codes[(segment.reason or "").partition(":")[0]] += 1
                seconds += (segment.end or 0.0) - (segment.start or 0.0)
    for file in places.labels.keys() - writer.begun:
        remove_output(places.labels[file])
    if codes:
        found = ", ".join(f"{code} {number}" for code, number in codes.most_common())
        some = "1 segment has" if codes.total() == 1 else f"{codes.total()} segments have"
        print(f"emoadapt: {some} no label ({seconds:.1f} s): {found}", file=sys.stderr)
    return counts


def _report(counts: Counter[str], places: _Places) -> None:
    """Print what was written and where, and how many rows failed, on the standard error."""
    if written := places.describe():
        print(f"written: {written}", file=sys.stderr)
    if failed := counts["failed"]:
        print(f"emoadapt: {failed} of {counts.total()} rows have the status failed, with a reason", file=sys.stderr)
