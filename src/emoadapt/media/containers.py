"""Files as FFmpeg opens, seeks and decodes them, and what its errors say about a clip."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.links import find_link, find_tag_end, open_link, shift_frame

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
EXACT = ("wav", "flac", MP4)
"""Formats with sample-exact timestamps and a declared length. Others are read from their beginning up to the end that
is asked for: Matroska counts in ms, MP3 and MPEG estimate the place of a seek."""
INDEXED = (MP4, "matroska,webm")
"""Formats with an index of key frames."""
FORMATS = (
    MP4, "matroska,webm", "avi", "asf", "flv", "mpeg", "mpegts", "mpegvideo", "m4v", "mxf", "nut", "rm", "dv", "ivf", "obu",
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
_LONGEST_RUN_IN_SECONDS = 1.0
_ORDINARY_BYTES = 1 << 28
"""More than decoding any clip takes."""


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """A media file, as PyAV opens it.

    Raises:
        ClipError: it is missing, may not be read, or is none of `FORMATS`.
    """
    import av

    try:
        # The prefix keeps names with a colon from being read as an address.
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"},
        )
    except av.ArgumentError:
        raise ClipError("undecodable", f"{path.name} is damaged, or in no media format that is read here") from None
    except av.FFmpegError as error:
        raise _fault(path, error) from None
    with container:
        yield container


def take_stream(stream: Any, path: Path) -> Any:
    """The stream, decoded by one thread, since jobs share the cores."""
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


def decode(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream; see the module for what happens to faulty packets."""
    return _decode(container, stream, path, 0)


def _decode(container: Any, stream: Any, path: Path, begin: int) -> Iterator[Any]:
    """Frames of a stream of a container that begins at a byte of the file."""
    from av import FFmpegError

    packets = _demux(container, stream)
    good, fault, time, place, tag_end = False, None, 0.0, 0, 0
    while True:
        packet = None
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else []
        except FFmpegError as error:
            fault = _fault(path, error)
            if packet is None and good and (link := _find_next_link(container, stream, path, begin + place)):
                yield from _decode_link(path, link, time)
                return
            at = (packet.pos if packet is not None else None) or 0
            if good and container.format.name == "mp3" and at >= tag_end:
                tag_end = find_tag_end(path, place)
            if good and (packet is None or at >= tag_end):
                raise ClipError("truncated", f"decoding of {path.name} broke off after {time:.2f} s") from None
            continue
        if packet is None:
            break
        for frame in frames:
            good, time, place = True, _find_end(frame, time), packet.pos or place
            yield frame
    if fault is not None and not good:
        raise fault


def _find_end(frame: Any, before: float) -> float:
    """Where a frame ends, in s of its stream's clock."""
    if frame.time is None:
        return before
    samples = getattr(frame, "samples", 0)
    return float(frame.time + (samples / frame.sample_rate if samples else 0.0))


def _find_next_link(container: Any, stream: Any, path: Path, at: int) -> int | None:
    return find_link(path, at) if container.format.name == "ogg" and stream.type == "audio" else None


def _decode_link(path: Path, begin: int, seconds: float) -> Iterator[Any]:
    """Frames of the audio of an Ogg file from a link on, which begins after so many seconds."""
    from av import FFmpegError

    try:
        with open_link(path, begin) as container:
            stream = take_stream(container.streams.audio[0], path)
            for frame in _decode(container, stream, path, begin):
                yield shift_frame(frame, seconds)
    except (FFmpegError, IndexError):
        raise ClipError("truncated", f"decoding of {path.name} broke off after {seconds:.2f} s") from None


def _demux(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of a stream. Behind the last one, PyAV fails where another stream appeared after the file was opened."""
    try:
        yield from container.demux(stream)
    except IndexError:
        return


def find_origin(container: Any) -> float:
    """Time stamp, in s, that a player shows as 0:00.

    A small negative one is a codec's run-in, which is not shown; a large one comes from MPEG stamps that wrap around. An MP4
    file that is not fragmented begins at 0: an empty edit before the first sample is played as a pause.
    """
    if container.format.name == MP4 and any(stream.frames for stream in container.streams):
        return 0.0
    start: float = (container.start_time or 0) / 1e6
    return 0.0 if -_LONGEST_RUN_IN_SECONDS <= start < 0 else start


def seek(container: Any, origin: float, start: float | None, path: Path) -> bool:
    """Seek to a little before `start` if that is far from the beginning; True if done."""
    from av import FFmpegError

    if start is None or start < 2 * _LEAD_SECONDS:
        return False
    try:
        container.seek(round((origin + start - _LEAD_SECONDS) * 1e6))
    except FFmpegError as error:
        raise _fault(path, error) from None
    return True


def describe_span(start: float | None, end: float | None) -> str:
    """Words for a segment, with a blank before them; none for a whole file."""
    if start is None and end is None:
        return ""
    return f" between {start or 0:g} s and {'its end' if end is None else f'{end:g} s'}"
