"""Audio of a clip: 16 kHz, mono, int16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import gcd, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.media.clock import Clock, find_end, is_even, is_stamped
from emoadapt.media.complete import check_complete, check_readable, note_end
from emoadapt.media.containers import (
    EXACT,
    MP4,
    decode_near,
    describe_span,
    find_origin,
    open_container,
)
from emoadapt.media.limits import check_length, refuse_longer
from emoadapt.media.links import is_joined_flac
from emoadapt.media.log import Log
from emoadapt.media.mixing import average_channels, measure_energies, read_channels
from emoadapt.media.tracks import choose_track, note_tracks
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HIGHEST_RATE = 1_000_000
"""Hz; what claims more is damaged, and resampling it would take minutes."""
_FULL_SCALE, _LOWEST, _HIGHEST = np.float32(32768), np.float32(-32768), np.float32(32767)


@dataclass(frozen=True)
class Recording:
    """A clip's audio as it is used, and the rate at which it was recorded.

    Args:
        samples: (n_samples,) int16, 16 kHz, little-endian; channels are averaged, unless they cancel each other.
        source_rate: Hz, of the file's audio stream; nothing above half of it was ever recorded.
        notes: what is odd about the clip, though it is used, each `<code>: <detail>`.
        position: of the first sample: 16 kHz samples after a player's 0:00.
    """

    samples: NDArray[np.int16]
    source_rate: int
    notes: tuple[str, ...] = ()
    position: int = 0


class Piece(NamedTuple):
    """Neighbouring samples, (n_samples,) int16, and the position of the first: 16 kHz samples after a player's 0:00."""

    position: int
    samples: NDArray[np.int16]


def read_recording(
    path: str | Path, start: float | None = None, end: float | None = None, max_seconds: float | None = None
) -> Recording:
    """Audio of a clip, or of a segment of it.

    A segment holds exactly the samples `round(start * 16000)` to `round(end * 16000)` of the whole, whichever the
    original rate; what lies outside the recording is left out. (After a seek, a codec that fills in noise at random,
    such as AAC, gives the same places with slightly other noise.) A hole in the time stamps holds silence. Whether channels
    cancel each other is decided for each segment by itself: where the whole and a segment differ in it, one holds the first
    channel and the other the mean of all. The note `inverted_channel` says which has the first one.

    Args:
        path: a file in any format that FFmpeg reads; its default audio track is taken.
        start: s on the clock of a player; None = the beginning of the audio.
        end: s; None = the end.
        max_seconds: s; a clip or segment that is longer is refused. None = no limit.

    Raises:
        ClipError: see the module.
    """
    path = Path(path)
    log = Log()
    position, samples = _read_samples(path, start, end, max_seconds, log)
    span = (-inf if start is None else start, inf if end is None else end)
    notes = log.list_notes(*span)
    if log.is_cancelled(*span):
        _, samples = _read_samples(path, start, end, max_seconds, Log(), first_channel=True)
        notes = (*notes, log.describe_inversion(*span))
    return Recording(samples, log.source_rate, notes, position)


def _read_samples(
    path: Path, start: float | None, end: float | None, max_seconds: float | None, log: Log, first_channel: bool = False
) -> Piece:
    with open_container(path) as container:
        stream = choose_track(container, "audio", path)
        check_length(container, stream, start, end, max_seconds, path)
        pieces: list[Piece] = []
        length = 0
        for piece in _decode_pieces(container, stream, start, end, path, log, first_channel):
            pieces.append(piece)
            length += len(piece.samples)
            refuse_longer(length / SAMPLE_RATE, max_seconds, path)
        return Piece(pieces[0].position, np.concatenate([piece.samples for piece in pieces]))


def decode_audio(path: str | Path, start: float | None = None, end: float | None = None) -> NDArray[np.int16]:
    """The samples of `read_recording`, (n_samples,) int16, however many."""
    return read_recording(path, start, end).samples


def iterate_audio(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    *,
    log: Log | None = None,
    first_channel: bool = False,
) -> Iterator[Piece]:
    """Decode a recording piece by piece, in constant memory.

    Args:
        path: as for `read_recording`.
        start: the same.
        end: the same.
        log: takes the notes on the pieces so far.
        first_channel: take the first channel instead of the mean of all, for channels that cancel each other.

    Yields:
        Pieces of varying length, each beginning where the one before ends; at least one.

    Raises:
        ClipError: see the module; `truncated`, `not_finite` and `float_scale` come after the audio before the damage.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = choose_track(container, "audio", path)
        yield from _decode_pieces(container, stream, start, end, path, log or Log(), first_channel)


def _decode_pieces(
    container: Any, stream: Any, start: float | None, end: float | None, path: Path, log: Log, first_channel: bool
) -> Iterator[Piece]:
    check_readable(container, path)
    log.note_file([note_tracks(container, stream), note_end(container, path)])
    origin = find_origin(container)
    near = start if start and _may_seek(container, stream, origin, start, path) else None
    frames, sought = decode_near(container, stream, origin, near, path)
    first = next(frames, None)
    if first is None:
        raise ClipError("empty_audio", f"{path.name} has no audio{describe_span(start, end)}")
    if first.sample_rate > _HIGHEST_RATE:
        raise ClipError("undecodable", f"{path.name} claims a sample rate of {first.sample_rate} Hz")
    log.source_rate = first.sample_rate
    skipped = float((first.pts - (stream.start_time or 0)) * stream.time_base) if sought else 0.0
    begin = first.time - skipped - origin if first.time is not None else 0.0
    clock = Clock(begin + skipped, find_end(container, origin), log, stamped=is_stamped(container, path))
    blocks = _mix_blocks(clock, chain([first], frames), path, log, first_channel)
    # Positions in a recording count 16 kHz samples from the first of the stream, wherever reading began; `lead` lies before it.
    lead = round(begin * SAMPLE_RATE)
    low = 0 if start is None else max(round(start * SAMPLE_RATE) - lead, 0)
    high = None if end is None else round(end * SAMPLE_RATE) - lead
    reached, empty = 0, True
    for position, samples in _resample(blocks, first.sample_rate, skipped):
        reached = position + len(samples)
        kept = samples[max(low - position, 0) : None if high is None else max(high - position, 0)]
        if len(kept):
            empty = False
            yield Piece(lead + max(low, position), _to_int16(kept))
        if high is not None and reached >= high:
            break
    else:
        check_complete(container, stream, (lead + reached) / SAMPLE_RATE, path)
    if empty:
        limit = (
            f"begins at {begin:.2f} s"
            if high is not None and high <= 0
            else f"ends after {(lead + reached) / SAMPLE_RATE:.2f} s"
        )
        raise ClipError("empty_audio", f"{path.name} has no audio{describe_span(start, end)}; it {limit}")


def make_pieces(
    frames: Iterator[Any], rate: int, path: Path, log: Log, *, first_channel: bool = False
) -> Iterator[Piece]:
    """Pieces of frames that follow each other from 0:00 on.

    Args:
        frames: of PyAV.
        rate: Hz, of the first frame.
        path: for messages.
        log: takes what the channels have in common.
        first_channel: take the first channel instead of the mean of all.

    Raises:
        ClipError: `not_finite`, `float_scale` or `undecodable`.
    """
    clock = Clock(0.0, None, log, stamped=False)
    for position, samples in _resample(_mix_blocks(clock, frames, path, log, first_channel), rate, 0.0):
        yield Piece(position, _to_int16(samples))


def _may_seek(container: Any, stream: Any, origin: float, start: float | None, path: Path) -> bool:
    """Whether stamps after a seek are exact. FFmpeg derives those of compressed WAV from an average rate, seconds off."""
    name = container.format.name
    if name == "wav":
        return bool(stream.codec_context.name.startswith("pcm_"))
    if name == "flac":
        return not is_joined_flac(path)
    return name in EXACT and (name != MP4 or start is None or is_even(stream, origin + start))


def _mix_blocks(
    clock: Clock, frames: Iterator[Any], path: Path, log: Log, first_channel: bool
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Rate and (n_samples,) mono blocks, gapless on the clock."""
    for frame, surplus in clock.place(frames):
        rate, missing = frame.sample_rate, surplus
        while missing > 0:
            yield rate, np.zeros(min(missing, rate), np.float32)
            missing -= rate
        values = read_channels(frame, path)
        mono, energy = average_channels(values[:1] if first_channel else values, path)
        if len(values) > 1 and not first_channel:
            log.add_energies(clock.due, *measure_energies(values, mono, energy), frame.samples / rate)
        yield rate, mono[-surplus:] if surplus < 0 else mono


def _resample(
    blocks: Iterator[tuple[int, NDArray[np.float32]]], rate: int, skipped: float
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Chunks of 16 kHz mono with their positions, the same whether reading began at the start or not.

    To that end resampling begins only at a source sample that falls on the 16 kHz grid.
    """
    from av import AudioFrame, AudioResampler

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

    for block_rate, block in blocks:
        mono = block
        if wait:
            mono, wait = mono[wait:], max(wait - len(mono), 0)
        if not len(mono):
            continue
        if block_rate != rate:
            yield from run(None)
            rate, resampler = block_rate, None
        if rate == SAMPLE_RATE:
            yield position, mono
            position += len(mono)
            continue
        resampler = resampler or AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        piece = AudioFrame.from_ndarray(np.ascontiguousarray(mono[np.newaxis]), format="fltp", layout="mono")
        piece.sample_rate = rate
        yield from run(piece)
    yield from run(None)


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    # In place, by methods: this is done for every frame.
    values = samples * _FULL_SCALE
    np.rint(values, out=values)
    values.clip(_LOWEST, _HIGHEST, out=values)
    return values.astype("<i2")
