"""Decoding of clips with PyAV: audio to 16 kHz mono int16, video to RGB frames; no temporary files.

Times are seconds from where a player shows 0:00, which is the start of the container. A fault of the file is a
`ClipError`; a fault of the machine (disk error, out of memory or of file handles) is raised as it is.

Codes of the faults:

* `file_missing`, `unreadable` (no permission, or a symbolic link that leads back to itself), `undecodable` (empty,
  damaged, no media, of an unknown codec, or a list of other files);
* `too_long`: more than the caller takes. Told from what the file declares, before anything is decoded, and from what is decoded
  where it declares nothing or too little;
* `truncated`: decoding broke off after it had begun, or a WAV, FLAC or MP4 file ends before its header says so. Such a
  clip is set aside as a whole, since what its label was given for may be in the part that is lost. Faulty packets before the
  first good one are passed over, as players do, because a stream may be cut anywhere;
* `not_finite`: floating-point audio that holds NaN or infinities;
* `empty_audio`, `empty_video`: nothing between start and end;
* `no_audio_stream`, `no_video_stream`, `still_image` (a single picture, cover art included): the modality is absent.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_EXACT = ("wav", "flac", _MP4)
"""Formats with sample-exact timestamps and a declared length. Others are read from their beginning up to the end that
is asked for: Matroska counts in ms, MP3 and MPEG estimate the place of a seek."""
_INDEXED = (_MP4, "matroska,webm")
"""Formats with an index of key frames."""
_FORMATS = (
    _MP4, "matroska,webm", "avi", "asf", "flv", "mpeg", "mpegts", "mpegvideo", "m4v", "mxf", "nut", "rm", "dv", "ivf", "obu",
    "h261", "h263", "h264", "hevc", "mjpeg", "yuv4mpegpipe", "wtv",
    "wav", "w64", "flac", "mp3", "ogg", "aac", "loas", "aiff", "au", "caf", "nistsphere", "sox", "ircam", "voc", "iff",
    "amr", "amrnb", "amrwb", "gsm", "qcp", "oma", "ac3", "eac3", "dts", "truehd", "mlp", "ape", "mpc", "mpc8", "shn", "tak",
    "tta", "wv", "dsf",
    "gif", "apng", "bmp_pipe", "jpeg_pipe", "jpegxl_pipe", "j2k_pipe", "png_pipe", "tiff_pipe", "webp_pipe",
)  # fmt: skip
"""FFmpeg's names of what is read: formats that hold their media themselves. Others name files (concat, HLS, DASH, image sequences)
or addresses, of which a fingerprint of the file would say nothing."""
_LEAD_SECONDS = 1.0
"""Decoded before a segment, so that codecs with memory and the resampling filter have settled when it begins."""
_TOLERANCE_SECONDS = 0.25
"""What an MP4 or FLAC file may lack of its declared length: encoders round it to a few codec frames."""
_TOLERANCE_BYTES = 1024
_STREAMED_WAV = 0x7FFF0000
"""RIFF sizes from here on are placeholders of programs that wrote into a pipe."""
_HIGHEST_RATE = 1_000_000
"""Hz; what claims more is damaged, and resampling it would take minutes."""
_ORDINARY_BYTES = 1 << 28
"""More than decoding any clip takes."""


# --- samples ---------------------------------------------------------------------------------------


def from_bytes(audio: bytes) -> NDArray[np.int16]:
    """Samples of an audio column: (n_samples,) int16, read-only."""
    return np.frombuffer(audio, "<i2")


def to_float(audio: bytes | NDArray[np.int16]) -> NDArray[np.float32]:
    """int16 samples, or the bytes of an audio column, as (n_samples,) float32 in [-1, 1)."""
    samples = from_bytes(audio) if isinstance(audio, bytes) else audio
    if samples.dtype != np.int16:
        raise TypeError(f"samples must be int16, they are {samples.dtype}")
    return samples.astype(np.float32) / np.float32(32768)


# --- audio -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """A clip's audio as it is used, and the rate at which it was recorded.

    Args:
        samples: (n_samples,) int16, 16 kHz, little-endian; channels are averaged.
        source_rate: Hz, of the file's audio stream; nothing above half of it was ever recorded.
    """

    samples: NDArray[np.int16]
    source_rate: int


def read_recording(
    path: str | Path, start: float | None = None, end: float | None = None, max_seconds: float | None = None
) -> Recording:
    """Audio of a clip, or of a segment of it.

    A segment holds exactly the samples `round(start * 16000)` to `round(end * 16000)` of the whole, whichever the
    original rate; what lies outside the recording is left out. (After a seek, a codec that fills in noise at random,
    such as AAC, gives the same places with slightly other noise.)

    Args:
        path: a file in any format that FFmpeg reads; its first audio stream is taken.
        start: s; None = the beginning of the audio.
        end: s; None = the end.
        max_seconds: s; a clip or segment that is longer is refused. None = no limit.

    Raises:
        ClipError: see the module.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = _audio_stream(container, path)
        _check_length(container, stream, start, end, max_seconds, path)
        pieces, length = [], 0
        for piece in _decode_pieces(container, stream, start, end, path):
            pieces.append(piece)
            length += len(piece)
            _refuse_longer(length / SAMPLE_RATE, max_seconds, path)
        return Recording(np.concatenate(pieces), stream.codec_context.sample_rate)


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
    origin = _origin(container)
    sought = container.format.name in _EXACT and _seek(container, origin, start, path)
    frames = _decode(container, stream, path)
    first = next(frames, None)
    if first is None:
        raise ClipError("empty_audio", f"{path.name} has no audio{_between(start, end)}")
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
        _check_complete(container, stream, reached / SAMPLE_RATE, path)
    if empty:
        raise ClipError(
            "empty_audio",
            f"{path.name} has no audio{_between(start, end)}; it ends after {reached / SAMPLE_RATE:.2f} s",
        )


def _audio_stream(container: Any, path: Path) -> Any:
    if not container.streams.audio:
        raise ClipError("no_audio_stream", f"{path.name} has no audio stream", absent=True)
    return _one_threaded(container.streams.audio[0], path)


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


def _check_complete(container: Any, stream: Any, seconds: float, path: Path) -> None:
    """Compare what was decoded, up to the end of the file, with what its header declares."""
    if container.format.name == "wav":
        with path.open("rb") as file:
            head = file.read(8)
        announced, size = int.from_bytes(head[4:8], "little") + 8, path.stat().st_size
        if head[:4] == b"RIFF" and size + _TOLERANCE_BYTES < announced < _STREAMED_WAV:
            raise ClipError("truncated", f"{path.name} has {size} bytes, its header announces {announced}")
    elif container.format.name in _EXACT and stream.duration:
        declared = float(stream.duration * stream.time_base)
        if seconds < declared - _TOLERANCE_SECONDS:
            raise ClipError(
                "truncated", f"the {stream.type} of {path.name} ends after {seconds:.2f} s of {declared:.2f} s"
            )


# --- video -----------------------------------------------------------------------------------------


def iterate_frames(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    max_seconds: float | None = None,
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Pictures of a clip, turned upright where the file says that the camera was held sideways.

    Args:
        path: a file in any format that FFmpeg reads; its first video stream that is not cover art is taken.
        start: s; None = the beginning.
        end: s; None = the end. Pictures with start <= time < end are given.
        fps: None = every frame; else the first frame in each interval of 1/fps s, counted from the start. A rate above the
            video's own gives every frame.
        max_seconds: s; a clip or segment that is longer is refused. None = no limit.

    Yields:
        (time in s, (height, width, 3) uint8 RGB), in the order of time.

    Raises:
        ClipError: see the module; `truncated` comes after the pictures before the damage.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = _video_stream(container, path)
        _check_length(container, stream, start, end, max_seconds, path)
        origin = _origin(container)
        sought = container.format.name in _INDEXED and _seek(container, origin, start, path)
        last_slot, empty = -1, True
        for time, frame in _timed(_decode(container, stream, path), container, stream, origin, path, sought):
            if time < (start or 0.0) - 1e-6 and start is not None:
                continue
            if end is not None and time >= end - 1e-6:
                break
            _refuse_longer(time - (start or 0.0), max_seconds, path)
            if fps is not None:
                # Timestamps are rounded to the container's ticks, so a frame may lie just before its interval.
                slot = int((time - (start or 0.0)) * fps + 0.02)
                if slot <= last_slot:
                    continue
                last_slot = slot
            empty = False
            yield time, _to_rgb(frame)
        if empty:
            raise ClipError("empty_video", f"{path.name} has no pictures{_between(start, end)}")


def _video_stream(container: Any, path: Path) -> Any:
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return _one_threaded(stream, path)
    raise ClipError("no_video_stream", f"{path.name} has no video stream", absent=True)


def _timed(
    frames: Iterator[Any], container: Any, stream: Any, origin: float, path: Path, sought: bool
) -> Iterator[tuple[float, Any]]:
    """Frames with their times; held back by one, so that a single picture is known before it is given."""
    step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    begin = float((stream.start_time or 0) * stream.time_base) - origin
    held, count, time, reached = None, 0, -step, 0.0
    for frame in frames:
        if held is not None:
            yield held
        time = time + step if frame.time is None else frame.time - origin
        held, count = (time, frame), count + 1
        shown = float(frame.duration * frame.time_base) if frame.duration else step
        reached = max(reached, time + shown - begin)
    if held is None:
        if not sought:
            raise ClipError("undecodable", f"{path.name} has a video stream without pictures")
        return
    _check_complete(container, stream, reached, path)
    if count == 1 and not sought:
        raise ClipError("still_image", f"{path.name} holds a single picture", absent=True)
    yield held


def _to_rgb(frame: Any) -> NDArray[np.uint8]:
    image = frame.to_ndarray(format="rgb24")
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


# --- containers ------------------------------------------------------------------------------------


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """A media file, as PyAV opens it.

    Raises:
        ClipError: it is not there, may not be read, or is none of `_FORMATS`.
    """
    import av

    try:
        # The prefix keeps names with a colon from being read as an address.
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"},
        )
    except av.ArgumentError:
        raise ClipError("undecodable", f"{path.name} is damaged, or in no media format that is read here") from None
    except av.FFmpegError as error:
        raise _fault(path, error) from None
    with container:
        yield container


def _one_threaded(stream: Any, path: Path) -> Any:
    if stream.codec_context is None:
        raise ClipError("undecodable", f"{path.name}: nothing here decodes its {stream.type} stream")
    stream.codec_context.thread_count = 1
    return stream


def _fault(path: Path, error: Exception) -> ClipError:
    """What an FFmpeg error says about the clip; a fault of the machine is raised instead."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ClipError("file_missing", f"{path} does not exist")
    if isinstance(error, PermissionError):
        return ClipError("unreadable", f"{path} may not be read; check its permissions")
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return ClipError("unreadable", f"{path} is a symbolic link that leads back to itself")
    if isinstance(error, MemoryError):
        # Damaged headers ask for absurd amounts; the machine is at fault only if it has no ordinary one to give either.
        bytearray(_ORDINARY_BYTES)
    if isinstance(error, OSError) and not isinstance(error, IsADirectoryError):
        # Some demuxers call damaged data an input/output error; the disk is at fault only if plain reading fails too.
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    return ClipError("undecodable", f"{path.name}: {getattr(error, 'strerror', None) or error}")


def _check_length(
    container: Any, stream: Any, start: float | None, end: float | None, max_seconds: float | None, path: Path
) -> None:
    """Refuse what is longer than `max_seconds` by its own segment or by what the file declares."""
    if max_seconds is None:
        return
    declared = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1e6
    last = float(declared) if end is None else min(end, float(declared) or end)
    _refuse_longer(last - (start or 0.0), max_seconds, path)


def _refuse_longer(seconds: float, max_seconds: float | None, path: Path) -> None:
    if max_seconds is not None and seconds > max_seconds:
        raise ClipError("too_long", f"{path.name} has more than {max_seconds:g} s; cut it into segments")


def _decode(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream; see the module for what happens to faulty packets."""
    from av import FFmpegError

    packets = container.demux(stream)
    good, fault, time = False, None, 0.0
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else []
        except FFmpegError as error:
            fault = _fault(path, error)
            if good:
                raise ClipError("truncated", f"decoding of {path.name} broke off after {time:.2f} s") from None
            continue
        if packet is None:
            break
        for frame in frames:
            good, time = True, frame.time or time
            yield frame
    if fault is not None and not good:
        raise fault


def _origin(container: Any) -> float:
    """Time stamp, in s, that a player shows as 0:00. A negative one is a codec's run-in, which is not shown."""
    return max(container.start_time or 0, 0) / 1e6


def _seek(container: Any, origin: float, start: float | None, path: Path) -> bool:
    """Go to a little before `start`, if that is far enough from the beginning; whether it was done."""
    from av import FFmpegError

    if start is None or start < 2 * _LEAD_SECONDS:
        return False
    try:
        container.seek(round((origin + start - _LEAD_SECONDS) * 1e6))
    except FFmpegError as error:
        raise _fault(path, error) from None
    return True


def _between(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ""
    return f" between {start or 0:g} s and {'its end' if end is None else f'{end:g} s'}"
