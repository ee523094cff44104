"""Bytes behind the end of a file that its header declares: audio that was not counted, or a second file.

FFmpeg reads neither.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from emoadapt.media.complete.boxes import find_asf_end, find_second_mp4
from emoadapt.media.complete.chunks import TOLERANCE, begins_file, find_surplus
from emoadapt.media.complete.frames import find_second_flv
from emoadapt.media.complete.reading import Reader
from emoadapt.media.containers import MP4

_ASF = bytes.fromhex("3026b2758e66cf11")
_TTA, _TTA_HEAD, _TTA_CHECKSUM = b"TTA1", 22, 4


def note_chunks(reader: Reader) -> str | None:
    """A note on bytes that the chunks of a file leave out: a second file, or samples as of a recorder that crashed."""
    found = find_surplus(reader)
    if found is None:
        return None
    used, end = found
    if begins_file(reader.read(end, 4)):
        return _describe_second(reader, end)
    left = reader.size - end
    if left <= TOLERANCE or not any(reader.read(end, left)):
        return None
    return f"stale_header: the header counts {used} bytes of audio, which are used; {left} bytes after them are not"


def _find_second_asf(reader: Reader) -> int | None:
    end = find_asf_end(reader)
    return end if end and reader.read(end, len(_ASF)) == _ASF else None


def _find_second_tta(reader: Reader) -> int | None:
    """Byte by the table of frame sizes behind the header. A frame has 256 / 245 s."""
    head = reader.read(0, _TTA_HEAD)
    if head[:4] != _TTA or len(head) < _TTA_HEAD:
        return None
    rate, samples = struct.unpack("<II", head[10:18])
    frames = -(-samples // max(256 * rate // 245, 1))
    table = reader.read(_TTA_HEAD, 4 * frames)
    end = (
        _TTA_HEAD
        + len(table)
        + _TTA_CHECKSUM
        + sum(size for (size,) in struct.iter_unpack("<I", table[: len(table) & -4]))
    )
    # Tags may lie between the two.
    place = reader.read(end, reader.size).find(_TTA)
    return end + place if place >= 0 else None


_SECOND: dict[str, Callable[[Reader], int | None]] = {
    MP4: find_second_mp4, "flv": find_second_flv, "asf": _find_second_asf, "tta": _find_second_tta,
}  # fmt: skip
"""FFmpeg's name of a format -> what finds the byte at which a second file begins."""


def note_second(name: str, reader: Reader) -> str | None:
    """A note on a second file that was joined to the first.

    Args:
        name: FFmpeg's name of the format.
        reader: the file.
    """
    find = _SECOND.get(name)
    begin = find(reader) if find else None
    return _describe_second(reader, begin) if begin else None


def _describe_second(reader: Reader, begin: int) -> str:
    return f"joined_file: a second file begins at byte {begin}; its {reader.size - begin} bytes are not read"
