"""Windows of recordings, decoded in this process or ahead in worker processes. No model is loaded here.

A worker decodes one file at a time and returns each window as soon as it is complete. If two workers crash on a file, or it makes no progress for
two minutes, a row with status and reason follows its last window. A pipe is decoded in this process, since a worker has no standard input.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.extraction.workers import WorkerPool
from emoadapt.features.base import Context
from emoadapt.inference.prediction import PEAK_SECONDS, Prediction, refuse
from emoadapt.inference.windows import Cutting, cut_audio
from emoadapt.media import Log, Piece, Recording, examine, iterate_audio
from emoadapt.media.loudness import measure_power, to_decibels
from emoadapt.media.pipes import open_pipe
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.notes import join_notes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emoadapt.data.clips import Clip

PIPES = ("-", "/dev/stdin")
"""Names of the standard input."""
STALL_SECONDS = 120.0
"""A decoder without progress for this time is stopped; see `features.stall_limit`."""
MOST_DECODERS = 4
"""Worker processes at most; each decodes hundreds of seconds of audio in a second."""
_PEAK_SAMPLES = round(PEAK_SECONDS * SAMPLE_RATE)
_LEVEL_SAMPLES = SAMPLE_RATE // 10


@dataclass(frozen=True)
class Listening:
    """How recordings are cut and examined.

    Args:
        cutting: window and hop.
        shortest: length in s below which a recording is `too_short`.
        quietest: level in dB of full scale; a window whose loudest 0.1 s is below it is `quiet`. None: windows of any level are predicted.
        peaks: whether the peaks of each window are kept, for a picture.
        rate: sample rate in Hz of a pipe of raw samples; None: the pipe is a WAV file.
    """

    cutting: Cutting
    shortest: float
    quietest: float | None = None
    peaks: bool = False
    rate: int | None = None


@dataclass(frozen=True)
class DecodedClip:
    """A decoded recording, or a window of one.

    Args:
        file: its file.
        times: begin and end in s, as a player shows them.
        samples: (n_samples,) int16, 16 kHz.
        notes: notes on odd audio.
        peaks: see `Prediction`.
        text: text that the model reads.
        streams: inputs of a model that reads more than audio.
    """

    file: Path
    times: tuple[float, float]
    samples: NDArray[np.int16]
    notes: str | None = None
    peaks: NDArray[np.int16] | None = None
    text: str | None = None
    streams: Clip | None = None

    def predict(self, found: dict[str, float], *, rated: bool) -> Prediction:
        """The prediction of this clip, from probabilities of classes, or from values of attributes (`rated`)."""
        if not all(map(math.isfinite, found.values())):
            return refuse(
                self.file, self.times, ClipError("not_finite", "the model gives no numbers for it"), self.peaks
            )
        outputs: dict[str, Any] = {"values": found}
        if not rated:
            outputs = {"label": max(found, key=found.__getitem__), "probabilities": found}
        return Prediction(self.file, *self.times, reason=self.notes, text=self.text, peaks=self.peaks, **outputs)


Item = DecodedClip | Prediction
"""A clip to predict, or the row of a clip that cannot be predicted."""


def is_pipe(file: Path) -> bool:
    """Whether a file is the standard input."""
    return str(file) in PIPES


def count_decoders() -> int:
    """Worker processes that decode, on this machine."""
    return max(1, min(MOST_DECODERS, len(os.sched_getaffinity(0)) - 1))


def decode_files(files: Iterable[Path], listening: Listening, n_workers: int = 0) -> Generator[Item]:
    """Decode files in their order, window by window.

    Args:
        files: in any format that FFmpeg reads.
        listening: how.
        n_workers: processes that decode; 0 = in this one.
    """
    for piped, part in groupby(files, is_pipe):
        if piped or not n_workers:
            yield from (item for file in part for item in read_clips(file, listening))
        else:
            yield from _decode_apart(part, listening, n_workers)


def _decode_apart(files: Iterable[Path], listening: Listening, n_workers: int) -> Generator[Item]:
    rows = ({"utterance_id": str(file), "file": file} for file in files)
    with WorkerPool(Decoder, listening, Context(Path()), n_workers, STALL_SECONDS) as pool:
        for row, item in pool.stream(rows):
            yield Prediction(row["file"], **item) if isinstance(item, Mapping) else item


class Decoder:
    """Decodes files in a worker process.

    Args:
        listening: how.
        context: with the beat of its pool.
    """

    def __init__(self, listening: Listening, context: Context) -> None:
        self.listening, self.beat = listening, context.beat

    def iterate(self, row: Mapping[str, Any]) -> Iterator[Item]:
        """Windows of the row's `file`."""
        return read_clips(row["file"], self.listening, self.beat)


def read_clips(file: Path, listening: Listening, beat: Callable[[], None] = lambda: None) -> Iterator[Item]:
    """Windows of a file; a fault of the file, or of a window, is a `Prediction` with status and reason.

    Args:
        file: the file, or `-`.
        listening: how it is cut and examined.
        beat: is called on progress.
    """
    cut = _cut_pipe if is_pipe(file) else _cut_file
    try:
        for times, recording in cut(file, listening, beat):
            peaks = _measure_peaks(recording.samples) if listening.peaks else None
            try:
                notes = join_notes(examine(recording, listening.shortest))
                _refuse_quiet(recording.samples, listening.quietest)
            except ClipError as fault:
                yield refuse(file, times, fault, peaks)
            else:
                yield DecodedClip(file, times, recording.samples, notes, peaks)
    except ClipError as error:
        yield refuse(file, None, error)
    except OSError as error:
        yield refuse(file, None, ClipError("unreadable", error.strerror or str(error)))


def _refuse_quiet(samples: NDArray[np.int16], quietest: float | None) -> None:
    """Refuse a window whose loudest 0.1 s is below a level.

    Raises:
        ClipError: `quiet`, absent.
    """
    if quietest is None:
        return
    powers = measure_power(samples, _LEVEL_SAMPLES)
    # A shorter rest is no 0.1 s.
    level = to_decibels(float(powers[: max(1, len(samples) // _LEVEL_SAMPLES)].max()), floor=-120.0)
    if level < quietest:
        raise ClipError(
            "quiet", f"the loudest 0.1 s is at {level:.1f} dB of full scale, below {quietest:g} dB", absent=True
        )


def _measure_peaks(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """(n, 2): lowest and highest sample of each `PEAK_SECONDS`; the last may be shorter."""
    starts = np.arange(0, len(samples), _PEAK_SAMPLES)
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)


Cut = Iterator[tuple[tuple[float, float], Recording]]
"""Windows with their times; each equals what `read_recording` returns for that segment."""


def _cut_file(file: Path, listening: Listening, beat: Callable[[], None]) -> Cut:
    log, cutting = Log(), listening.cutting
    # Read beside the mean of the channels from the first window on in which they cancel each other.
    channel: Iterator[Piece] | None = None

    def read_channel(position: int) -> NDArray[np.int16]:
        nonlocal channel
        channel = channel or cut_audio(_watch(iterate_audio(file, first_channel=True), beat), cutting)
        return next(piece.samples for piece in channel if piece.position == position)

    for window in cut_audio(_watch(iterate_audio(file, log=log), beat), cutting):
        yield _describe(window, log, partial(read_channel, window.position))


def _cut_pipe(file: Path, listening: Listening, beat: Callable[[], None]) -> Cut:
    log, cutting = Log(), listening.cutting
    with open_pipe(sys.stdin.buffer, listening.rate, log) as (mean, channel):
        # Both at the same pace: a pipe is read once.
        for window, first in zip(cut_audio(mean, cutting), cut_audio(channel, cutting), strict=True):
            yield _describe(window, log, partial(_take_samples, first))


def _take_samples(piece: Piece) -> NDArray[np.int16]:
    return piece.samples


def _describe(
    window: Piece, log: Log, read_channel: Callable[[], NDArray[np.int16]]
) -> tuple[tuple[float, float], Recording]:
    """A window with its notes, which may be of the first channel."""
    times = (window.position / SAMPLE_RATE, (window.position + len(window.samples)) / SAMPLE_RATE)
    notes, samples = log.list_notes(*times), window.samples
    if log.is_cancelled(*times):
        notes, samples = (*notes, log.describe_inversion(*times)), read_channel()
    log.forget(times[0])
    # What runs in before 0:00 is part of the first window, as it is of the whole file.
    return (max(times[0], 0.0), times[1]), Recording(samples, log.source_rate, notes)


def _watch(pieces: Iterator[Piece], beat: Callable[[], None]) -> Iterator[Piece]:
    for piece in pieces:
        beat()
        yield piece
