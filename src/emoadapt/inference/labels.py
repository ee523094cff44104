"""Segments as label tracks of Audacity and as WebVTT, one file for each recording.

* Audacity, "Importing and exporting labels" (manual 3.x): `start<TAB>end<TAB>label`, s, a line for each label.
* WebVTT (W3C, 2019): cues with times to the millisecond. In their text, `&`, `<` and `>` are escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from os.path import abspath, commonpath  # `absolute` keeps `..`
from pathlib import Path
from typing import TextIO

from emoadapt.errors import ConfigError, show
from emoadapt.inference.decoding import is_pipe
from emoadapt.inference.prediction import Prediction

SUFFIXES = {"audacity": ".txt", "webvtt": ".vtt"}
"""Format -> suffix of a file for a recording."""


def write_audacity(segment: Prediction) -> str:
    """A line for a segment; times to 0.00001 s, less than a sample."""
    return f"{segment.start:.5f}\t{segment.end:.5f}\t{' '.join(describe(segment).split())}\n"


def write_webvtt(segment: Prediction) -> str:
    """A cue for a segment; nothing for one that is shorter than a millisecond."""
    start, end = _format_time(segment.start), _format_time(segment.end)
    if start == end:
        return ""
    text = " ".join(describe(segment).split())
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, name)
    return f"\n{start} --> {end}\n{text}\n"


def describe(segment: Prediction) -> str:
    """`anger 0.81`, or `arousal 0.62, valence 0.31`."""
    if segment.values is not None:
        return ", ".join(f"{name} {value:.2f}" for name, value in segment.values.items())
    assert segment.label is not None and segment.probabilities is not None
    return f"{segment.label} {segment.probabilities[segment.label]:.2f}"


def _format_time(seconds: float | None) -> str:
    milliseconds = round((seconds or 0.0) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


_FORMATS: dict[str, tuple[str, Callable[[Prediction], str]]] = {
    "audacity": ("", write_audacity), "webvtt": ("WEBVTT\n", write_webvtt),
}  # fmt: skip
"""Format -> what a file begins with, and what writes a segment."""


_BEGINNINGS = {"audacity": rb"\d+\.\d+\t\d+\.\d+\t", "webvtt": rb"WEBVTT\b"}
"""Format -> how a file begins that is not empty."""


def name_outputs(files: list[Path], place: Path, suffix: str, what: str) -> dict[Path, Path]:
    """Name a file for each recording.

    Args:
        files: the recordings.
        place: the file of the only recording, or a folder; there, folders are those of the recordings, and names theirs with the suffix.
        suffix: of the files.
        what: words for them in messages: `labels`.

    Raises:
        ConfigError: there are several recordings and the place is a file, or a recording is named twice.
    """
    if len(files) == 1 and not place.is_dir():
        return {files[0]: place}
    if (place.exists() and not place.is_dir()) or (len(files) > 1 and place.suffix):
        raise ConfigError(
            f"{what} are one file for each of {len(files)} recordings, and {place} is one file; name a folder"
        )
    if repeated := [file for file, times in Counter(map(abspath, files)).items() if times > 1]:
        raise ConfigError(f"{show(repeated)} is named twice, and {what} are one file for each recording; name it once")
    named = _relate(files)
    # A short name may be the whole one of another recording, too: `a.wav` of `a.wav.flac`.
    taken = Counter(str(form) for name in named.values() for form in {name, name.with_suffix("")})
    return {
        file: place / f"{short if taken[short] == 1 or short == str(name) else name}{suffix}"
        for file, name in named.items()
        for short in [str(name.with_suffix(""))]
    }


def refuse_other_content(places: Iterable[Path], kind: str) -> None:
    """Refuse to replace files that hold something else, such as transcripts that lie beside the recordings.

    Args:
        places: named by recordings; they need not exist.
        kind: `audacity` or `webvtt`.

    Raises:
        ConfigError: one holds no labels.
    """
    others = [str(place) for place in places if place.exists() and not _holds_labels(place, kind)]
    if others:
        raise ConfigError(
            f"{show(others, 3)} {'is' if len(others) == 1 else 'are'} there and hold{'s' * (len(others) == 1)} no {kind} labels; name "
            "another folder with --output"
        )


def _holds_labels(place: Path, kind: str) -> bool:
    """Whether a file is empty, or begins as labels do."""
    try:
        with place.open("rb") as file:
            begin = file.readline(1000)
    except OSError:
        return True  # that it cannot be replaced is said when it is written
    return not begin or re.match(_BEGINNINGS[kind], begin) is not None


def _relate(files: list[Path]) -> dict[Path, Path]:
    """Files relative to the folder that holds all of them."""
    places = {file: Path(abspath(file)) for file in files if not is_pipe(file)}  # noqa: PTH100
    folder = commonpath([place.parent for place in places.values()]) if places else ""
    return {file: places[file].relative_to(folder) if file in places else Path("stdin") for file in files}


@dataclass
class LabelWriter:
    """Writes segments, each recording to its file.

    Args:
        kind: `audacity` or `webvtt`.
        open_file: a context manager that opens a recording's file.

    Attributes:
        begun: recordings whose file was begun: those of which not every part failed.
    """

    kind: str
    open_file: Callable[[Path], AbstractContextManager[TextIO]]
    _file: Path | None = None
    _target: TextIO | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    begun: set[Path] = field(default_factory=set)

    def write(self, segment: Prediction) -> None:
        """Write a segment; only its file is begun where it has no emotion, and not even that before a segment that did not fail."""
        begin, form = _FORMATS[self.kind]
        if segment.file != self._file:
            self._stack.close()
            self._file, self._target = segment.file, None
        if self._target is None:
            if segment.status == "failed":
                return
            self._target = self._stack.enter_context(self.open_file(segment.file))
            self._target.write(begin)
            self.begun.add(segment.file)
        if segment.status == "ok":
            self._target.write(form(segment))
        self._target.flush()

    def close(self) -> None:
        """Close the last file."""
        self._stack.close()
