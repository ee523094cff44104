"""Tests for files that end before their headers say so, as broken downloads do.

Sizes that programs write into a pipe as placeholders are no claims. Neither is a size that is wrong while all data are there: the
RIFF size of a WAV or AVI file, the frame table of an MP3 file to which a second one was appended. MPEG transport streams, ADTS,
AMR, AC-3, NUT and raw streams say nothing of their length; there a cut is seen only where decoding breaks off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.complete.boxes import check_asf, check_ivf, check_matroska, check_mp4
from emoadapt.media.complete.chunks import check_avi, check_chunks, check_header, count_media
from emoadapt.media.complete.frames import check_flv, check_mp3, check_ogg, check_program_stream, has_table, lacks_end
from emoadapt.media.complete.reading import Decoded, Reader, describe_blank, describe_short
from emoadapt.media.complete.surplus import note_chunks, note_second
from emoadapt.media.containers import MP4

_SIZES: dict[str, Callable[[Reader, Decoded], str | None]] = {
    "wav": check_chunks, "w64": check_chunks, "caf": check_chunks, "aiff": check_chunks, "iff": check_chunks,
    "voc": check_chunks, "au": check_header, "sox": check_header, "avi": check_avi, "ivf": check_ivf,
    MP4: check_mp4, "matroska,webm": check_matroska, "asf": check_asf,
    "mp3": check_mp3, "ogg": check_ogg, "flv": check_flv, "mpeg": check_program_stream,
    "tta": lambda reader, _: describe_blank() if reader.ends_blank() else None,
}  # fmt: skip
"""FFmpeg's name of a format -> what compares the file with the sizes in it."""
_SECONDS = {
    MP4: 0.25, "mxf": 0.25, "flac": 0.01,
    "ape": 0.05, "dsf": 0.05, "mpc": 0.1, "mpc8": 0.1, "nistsphere": 0.05, "tak": 0.05, "tta": 0.05, "wv": 0.05,
}  # fmt: skip
"""Formats whose header declares the length of each stream -> s that may be missing: encoders round to whole codec frames.
FFmpeg's lengths of other formats are estimates from the size of the file, which agree with any cut."""

_DECLARED = ("avi", "asf", "matroska,webm")
"""Formats whose header declares a length that no size confirms: it counts where the file ends with zeros."""
_BLANK_SECONDS = 0.25


def check_complete(container: Any, stream: Any, seconds: float, path: Path) -> None:
    """Compare what was decoded, up to the end of the file, with what its header declares.

    Args:
        container: of PyAV.
        stream: the one that was decoded.
        seconds: end of what was decoded, on the clock of a player; the length that MP4 declares includes a pause before the stream.
        path: the file.

    Raises:
        ClipError: `truncated`.
    """
    name = container.format.name
    if name in _SIZES:
        with path.open("rb") as file:
            reader, decoded = Reader(file), Decoded(stream, seconds)
            fault = _SIZES[name](reader, decoded) or (_check_blank(reader, decoded) if name in _DECLARED else None)
        if fault:
            raise ClipError("truncated", f"{path.name} {fault}")
    if name in _SECONDS and stream.duration:
        declared = float(stream.duration * stream.time_base)
        if seconds < declared - _SECONDS[name]:
            raise ClipError(
                "truncated", f"the {stream.type} of {path.name} ends after {seconds:.2f} s of {declared:.2f} s"
            )


def counts_frames(path: Path) -> bool:
    """Whether an MP3 file has a table that says how many frames it has."""
    with path.open("rb") as file:
        return has_table(Reader(file))


def _check_blank(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file with zeros at its end, whose stream ends before its declared length."""
    stream = decoded.stream
    seconds = float(stream.duration * stream.time_base) if stream.duration else (stream.container.duration or 0) / 1e6
    short = decoded.seconds < seconds - _BLANK_SECONDS
    return (
        f"{describe_short(decoded.seconds, seconds)}; it {describe_blank()}" if short and reader.ends_blank() else None
    )


def check_readable(container: Any, path: Path) -> None:
    """Refuse a WAV file with several `data` chunks: FFmpeg reads the last one only, and places it at 0:00.

    Raises:
        ClipError: `undecodable`.
    """
    if container.format.name != "wav":
        return
    with path.open("rb") as file:
        number = count_media(Reader(file))
    if number > 1:
        raise ClipError(
            "undecodable",
            f"{path.name} has its samples in {number} `data` chunks, of which FFmpeg reads only the last; save it anew with one",
        )


def note_end(container: Any, path: Path) -> str | None:
    """A note on what lies behind the end that the header declares, or on an end that is left open."""
    name = container.format.name
    with path.open("rb") as file:
        reader = Reader(file)
        note = _NOTES.get(name)
        return note(reader) if note else note_second(name, reader)


def _note_open_end(reader: Reader) -> str | None:
    return "open_end: no page ends the stream, so its end may be missing" if lacks_end(reader) else None


_NOTES: dict[str, Callable[[Reader], str | None]] = {
    **dict.fromkeys(("wav", "w64", "caf", "aiff", "iff", "voc"), note_chunks),
    "ogg": _note_open_end,
}
