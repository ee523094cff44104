"""Audio of a clip: 16 kHz, mono, int16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.media.complete import check_complete, note_end
from emoadapt.media.containers import (
    EXACT,
    check_length,
    decode,
    describe_span,
    find_origin,
    open_container,
    refuse_longer,
    seek,
)
from emoadapt.media.tracks import choose_track, note_tracks
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HIGHEST_RATE = 1_000_000
"""Hz; what claims more is damaged, and resampling it would take minutes."""


@dataclass(frozen=True)
class Recording:
    """A clip's audio as it is used, and the rate at which it was recorded.

    Args:
        samples: (n_samples,) int16, 16 kHz, little-endian; channels are averaged.
        source_rate: Hz, of the file's audio stream; nothing above half of it was ever recorded.
        notes: what is odd about the clip, though it is used, each `<code>: <detail>`.
    """

    samples: NDArray[np.int16]
    source_rate: int
    notes: tuple[str, ...] = ()


def read_recording(
    path: str | Path, start: float | None = None, end: float | None = None, max_seconds: float | None = None
) -> Recording:
    """Audio of a clip, or of a segment of it.

    A segment holds exactly the samples `round(start * 16000)` to `round(end * 16000)` of the whole, whichever the
    original rate; what lies outside the recording is left out. (After a seek, a codec that fills in noise at random,
    such as AAC, gives the same places with slightly other noise.)

    Args:
        path: a file in any format that FFmpeg reads; its default audio track is taken.
        start: s; None = the beginning of the audio.
        end: s; None = the end.
        max_seconds: s; a clip or segment that is longer is refused. None = no limit.

    Raises:
        ClipError: see the module.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = _audio_stream(container, path)
        check_length(container, stream, start, end, max_seconds, path)
        pieces, length = [], 0
        for piece in _decode_pieces(container, stream, start, end, path):
            pieces.append(piece)
            length += len(piece)
            refuse_longer(length / SAMPLE_RATE, max_seconds, path)
        notes = filter(None, [note_tracks(container, stream), note_end(container, path)])
        return Recording(np.concatenate(pieces), stream.codec_context.sample_rate, tuple(notes))


def decode_audio(path: str | Path, start: float | None = None, end: float | None = None) -> NDArray[np.int16]:
    """The samples of `read_recording`, (n_samples,) int16, however many."""
    return read_recording(path, start, end).samples


def iterate_audio(
    path: str | Path, start: float | None = None, end: float | None = None
) -> Iterator[NDArray[np.int16]]:
    """The samples of `decode_audio`, piece by piece as the decoder gives them: a recording of hours needs no more memory.

    Yields:
        (n_samples,) int16 of varying length, at least one piece.

    Raises:
        ClipError: see the module; `truncated` and `not_finite` come after the audio before the damage.
    """
    path = Path(path)
    with open_container(path) as container:
        yield from _decode_pieces(container, _audio_stream(container, path), start, end, path)


def _decode_pieces(
    container: Any, stream: Any, start: float | None, end: float | None, path: Path
) -> Iterator[NDArray[np.int16]]:
    origin = find_origin(container)
    sought = container.format.name in EXACT and seek(container, origin, start, path)
    frames = decode(container, stream, path)
    first = next(frames, None)
    if first is None:
        raise ClipError("empty_audio", f"{path.name} has no audio{describe_span(start, end)}")
    skipped = _seconds_skipped(stream, first) if sought else 0.0
    begin = first.time - skipped - origin if first.time is not None else 0.0
    # All positions below count 16 kHz samples from the first sample of the stream, wherever reading began.
    lead = round(begin * SAMPLE_RATE)
    low = 0 if start is None else max(round(start * SAMPLE_RATE) - lead, 0)
    high = None if end is None else round(end * SAMPLE_RATE) - lead
    reached, empty = 0, True
    for position, samples in _resample(first, frames, skipped, path):
        reached = position + len(samples)
        kept = samples[max(low - position, 0) : None if high is None else max(high - position, 0)]
        if len(kept):
            empty = False
            yield _to_int16(kept)
        if high is not None and reached >= high:
            break
    else:
        check_complete(container, stream, reached / SAMPLE_RATE, path)
    if empty:
        raise ClipError(
            "empty_audio",
            f"{path.name} has no audio{describe_span(start, end)}; it ends after {reached / SAMPLE_RATE:.2f} s",
        )


def _audio_stream(container: Any, path: Path) -> Any:
    return choose_track(container, "audio", path)


def _seconds_skipped(stream: Any, first: Any) -> float:
    """Seconds of the stream before the first frame that was decoded after a seek."""
    return float((first.pts - (stream.start_time or 0)) * stream.time_base)


def _resample(
    first: Any, frames: Iterator[Any], skipped: float, path: Path
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Chunks of 16 kHz mono with their positions, the same whether reading began at the start or not.

    To that end resampling begins only at a source sample that falls on the 16 kHz grid.
    """
    from av import AudioFrame, AudioResampler

    rate = first.sample_rate
    if rate > _HIGHEST_RATE:
        raise ClipError("undecodable", f"{path.name} claims a sample rate of {rate} Hz")
    source = round(skipped * rate)
    wait = -source % (rate // gcd(rate, SAMPLE_RATE))
    position = (source + wait) * SAMPLE_RATE // rate
    resampler: AudioResampler | None = None

    def run(frame: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
        nonlocal position
        for out in resampler.resample(frame) if resampler else ():
            samples = out.to_ndarray()[0]
            yield position, samples
            position += len(samples)

    for frame in _chain(first, frames):
        mono = _average_channels(frame, path)
        if wait:
            mono, wait = mono[wait:], max(wait - len(mono), 0)
        if not len(mono):
            continue
        if frame.sample_rate != rate:
            yield from run(None)
            rate, resampler = frame.sample_rate, None
        if rate == SAMPLE_RATE:
            yield position, mono
            position += len(mono)
            continue
        resampler = resampler or AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        piece = AudioFrame.from_ndarray(np.ascontiguousarray(mono[np.newaxis]), format="fltp", layout="mono")
        piece.sample_rate = rate
        yield from run(piece)
    yield from run(None)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _average_channels(frame: Any, path: Path) -> NDArray[np.float32]:
    """(n_samples,) float32 in [-1, 1]; FFmpeg's own downmix would weight the channels of 5.1 and leave out the bass."""
    try:
        values = frame.to_ndarray()
    except ValueError:
        raise ClipError("undecodable", f"{path.name}: samples of the format {frame.format.name} are not read") from None
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        values = values.astype(np.float32 if values.dtype == np.int16 else np.float64) / -float(
            np.iinfo(values.dtype).min
        )
    mono = values[0] if len(values) == 1 else values.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mono).all():
        raise ClipError("not_finite", f"{path.name} holds samples that are not numbers")
    return mono.astype(np.float32)


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype("<i2")
