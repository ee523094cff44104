"""Files as FFmpeg opens, seeks and decodes them, and what its errors say about a clip."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import floor
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.links import begins_link, find_amr, find_link, find_tag_end, open_link, shift_frame

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
EXACT = ("wav", "flac", MP4)
"""Formats with sample-exact timestamps and a declared length, WAV as long as it holds PCM. Others are read from their beginning up to the end that
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
_ROUNDING_SECONDS = 0.001
"""Containers round stamps to this."""
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
    reached = _Reached()
    yield from _decode(container, stream, path, reached)
    while reached.link is not None:
        begin, reached.link, reached.good = reached.link, None, False
        yield from _decode_link(path, begin, container.format.name, reached)


@dataclass
class _Reached:
    """How far a file has been decoded.

    Args:
        good: whether a packet of this link was.
        seconds: s, where the last frame ended.
        byte: at which its packet began.
        begin: byte at which this link began.
        link: byte at which the next link begins; None = there is none.
    """

    good: bool = False
    seconds: float = 0.0
    byte: int = 0
    begin: int = 0
    link: int | None = None


def _decode(container: Any, stream: Any, path: Path, reached: _Reached) -> Iterator[Any]:
    """Frames of a stream, up to the end or to a link that FFmpeg does not read."""
    from av import FFmpegError

    name = container.format.name
    packets = _demux(container, stream)
    find_own_link = _find_own_link(container, stream, path, reached.begin)
    fault, tag_end, first = None, 0, reached.seconds
    while True:
        packet = None
        try:
            packet = next(packets, None)
            if packet is not None and (link := find_own_link(packet)):
                reached.link = link
                return
            frames = packet.decode() if packet is not None else []
        except FFmpegError as error:
            fault = _fault(path, error)
            if packet is None and reached.good:
                reached.link = _find_next_link(container, stream, path, reached)
                if reached.link is not None:
                    return
            at = (packet.pos if packet is not None else None) or 0
            if reached.good and name == "mp3" and at >= tag_end:
                tag_end = find_tag_end(path, reached.byte)
            if reached.good and (packet is None or at >= tag_end):
                raise _describe_break(path, reached) from None
            continue
        if packet is None:
            break
        for frame in frames:
            if first:
                shift_frame(frame, first)
            reached.good, reached.seconds = True, _find_end(frame, reached.seconds)
            reached.byte = packet.pos or reached.byte
            yield frame
    if fault is not None and not reached.good:
        raise fault


def _describe_break(path: Path, reached: _Reached) -> ClipError:
    return ClipError("truncated", f"decoding of {path.name} broke off after {reached.seconds:.2f} s")


def _find_end(frame: Any, before: float) -> float:
    """Where a frame ends, in s of its stream's clock."""
    if frame.time is None:
        return before
    samples = getattr(frame, "samples", 0)
    return float(frame.time + (samples / frame.sample_rate if samples else 0.0))


def _find_next_link(container: Any, stream: Any, path: Path, reached: _Reached) -> int | None:
    if container.format.name != "ogg" or stream.type != "audio":
        return None
    return find_link(path, reached.begin + reached.byte)


def _decode_link(path: Path, begin: int, form: str, reached: _Reached) -> Iterator[Any]:
    """Frames of the audio of an Ogg or AMR file from a link on, which begins where those before it end."""
    from av import FFmpegError

    reached.begin, reached.byte = begin, 0
    try:
        with open_link(path, begin, form) as container:
            yield from _decode(container, take_stream(container.streams.audio[0], path), path, reached)
    except (FFmpegError, IndexError):
        raise _describe_break(path, reached) from None


def _demux(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of a stream. Behind the last one, PyAV fails where another stream appeared after the file was opened."""
    try:
        yield from container.demux(stream)
    except IndexError:
        return


def _find_own_link(container: Any, stream: Any, path: Path, begin: int) -> Callable[[Any], int | None]:
    """What says for a packet at which byte a link begins with it, of which FFmpeg would read the headers as audio."""
    if container.format.name == "amr":
        following = find_amr(path, begin)
        return lambda packet: following if following and begin + (packet.pos or 0) >= following else None
    if container.format.name == "ogg" and stream.codec_context.name == "speex":
        return lambda packet: begin + packet.pos if packet.pos and begins_link(path, begin + packet.pos) else None
    return lambda packet: None


def find_origin(container: Any) -> float:
    """Time stamp, in s, that a player shows as 0:00.

    A small negative one is a codec's run-in, which is not shown; a large one comes from MPEG stamps that wrap around. An MP4
    file that is not fragmented begins at 0: an empty edit before the first sample is played as a pause.
    """
    if container.format.name == MP4 and any(stream.frames for stream in container.streams):
        return 0.0
    start: float = (container.start_time or 0) / 1e6
    return 0.0 if -_LONGEST_RUN_IN_SECONDS <= start < 0 else start


def decode_near(
    container: Any, stream: Any, origin: float, start: float | None, path: Path
) -> tuple[Iterator[Any], bool]:
    """Frames of a stream from a little before `start` on, if that is far from the beginning.

    A seek is believed only where the first frame that it gives lies early enough. FFmpeg seeks by the pictures, which may begin
    later than the sound, then by the stream itself, whose index may be damaged. If both mislead, the file is opened anew and
    read from its beginning.

    Returns:
        the frames, and True if they begin after a seek; False: they begin with the first one.
    """
    if start is None or start < 2 * _LEAD_SECONDS:
        return decode(container, stream, path), False
    early = origin + start - _LEAD_SECONDS
    for place, by, latest in (
        (round(early * 1e6), None, early + _ROUNDING_SECONDS),
        (floor(early / stream.time_base), stream, origin + start),
    ):
        frames = _seek(container, stream, place, by, path)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.time <= latest:
            return chain([first], frames), True
    return _decode_anew(path, stream.index), False


def _seek(container: Any, stream: Any, place: int, by: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream from a place on; none where it cannot be sought."""
    from av import FFmpegError

    try:
        container.seek(place, stream=by)
        frames = decode(container, stream, path)
        first = next(frames, None)
    except (FFmpegError, ClipError):
        return iter(())
    return iter(()) if first is None else chain([first], frames)


def _decode_anew(path: Path, index: int) -> Iterator[Any]:
    with open_container(path) as container:
        yield from decode(container, take_stream(container.streams[index], path), path)


def describe_span(start: float | None, end: float | None) -> str:
    """Words for a segment, with a blank before them; none for a whole file."""
    if start is None and end is None:
        return ""
    return f" between {start or 0:g} s and {'its end' if end is None else f'{end:g} s'}"


def describe_request(start: float | None, end: float | None) -> str:
    """Words for the times of a segment in a note."""
    return f"asked for {start or 0.0:.2f}" + (" s to its end" if end is None else f"-{end:.2f} s")
