"""Tables and last frames of streams: MP3, Ogg, FLV, MPEG program streams."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from emoadapt.media.complete.reading import Decoded, Reader, describe_blank, describe_short
from emoadapt.media.links import decode_tag_size

_TAIL = 1 << 17
"""Bytes of the end of a file that are looked at: at least two of the largest pages or packets."""

# --- MP3: the table in the first frame (Xing, Info, VBRI) ------------------------------------------

_TOLERANCE = 1100
"""Bytes of the largest ordinary frame."""
_TRIMMED_FRAMES = 4
"""Frames that encoders put before and behind the audio, and decoders drop."""
_RATES = (44100, 48000, 32000)


def check_mp3(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file that is shorter than the table in its first frame says.

    The number of frames decides; the bytes, among which tags are sometimes counted, only where many are missing.
    """
    first = _skip_tags(reader)
    found = _read_table(reader.read(first, 256))
    if found is None:
        return None
    size, seconds, frame_seconds = found
    if seconds and decoded.seconds < seconds - _TRIMMED_FRAMES * frame_seconds:
        return describe_short(decoded.seconds, seconds)
    missing = first + size - reader.size
    if size and missing > _TOLERANCE and (missing > first or not seconds):
        return reader.describe_cut(first + size)
    return None


def has_table(reader: Reader) -> bool:
    """Whether the first frame of an MP3 file says how many follow."""
    found = _read_table(reader.read(_skip_tags(reader), 256))
    return found is not None and found[1] > 0


def _skip_tags(reader: Reader) -> int:
    """Where the first frame begins, after ID3v2 tags and padding."""
    at = 0
    while (head := reader.read(at, 10))[:3] == b"ID3" and len(head) == 10:
        at += 10 + decode_tag_size(head[6:10])
    content = reader.read(at, 1 << 16)
    return at + len(content) - len(content.lstrip(b"\0"))


def _read_table(frame: bytes) -> tuple[int, float, float] | None:
    """Bytes and seconds of all frames (0 = not given), and seconds of one; None without a table."""
    if len(frame) < 60 or frame[0] != 0xFF or frame[1] >> 5 != 7 or frame[2] >> 2 & 3 == 3:
        return None
    version = frame[1] >> 3 & 3
    halvings = {3: 0, 2: 1, 0: 2}.get(version, 0)
    frame_seconds = (576 if halvings else 1152) / (_RATES[frame[2] >> 2 & 3] >> halvings)
    mono = frame[3] >> 6 == 3
    at = 4 + {(False, False): 32, (False, True): 17, (True, False): 17, (True, True): 9}[bool(halvings), mono]
    if frame[at : at + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        fields = [int.from_bytes(frame[at + k : at + k + 4], "big") for k in (8, 12)]
        count = fields[0] if flags & 1 else 0
        size = fields[flags & 1] if flags & 2 else 0
    elif frame[36:40] == b"VBRI":
        size, count = int.from_bytes(frame[46:50], "big"), int.from_bytes(frame[50:54], "big")
    else:
        return None
    return size, count * frame_seconds, frame_seconds


# --- Ogg (RFC 3533) --------------------------------------------------------------------------------

_LAST_PAGE = 4


def check_ogg(reader: Reader, _: Decoded) -> str | None:
    """Words for a file that ends within a page, or within a packet that its last page begins, or with zeros.

    A last page that does not end its stream is no cut: recorders and live streams often leave it so.
    """
    begin, last = _find_last_page(reader)
    open_end = last is None or not last.flags & _LAST_PAGE or begin + last.end >= reader.size
    if open_end and reader.ends_blank():
        return describe_blank()
    if last is None or (last.whole and not last.continues):
        return None
    return f"ends within the page at byte {begin + last.begin}"


def lacks_end(reader: Reader) -> bool:
    """Whether the last page of an Ogg file does not end its stream."""
    _, last = _find_last_page(reader)
    return last is not None and last.whole and not last.flags & _LAST_PAGE


@dataclass(frozen=True)
class _Page:
    """A page of an Ogg file.

    Args:
        begin: first byte.
        end: byte behind it.
        flags: of its header.
        whole: whether the file does not end within it.
        continues: whether its last packet continues in another page.
    """

    begin: int
    end: int
    flags: int
    whole: bool
    continues: bool


def _find_last_page(reader: Reader) -> tuple[int, _Page | None]:
    """Where the tail of the file begins, and the last page in it."""
    begin, last = max(0, reader.size - _TAIL), None
    for page in _walk_pages(reader.read(begin, _TAIL)):
        last = page
    return begin, last


def _walk_pages(tail: bytes) -> Iterator[_Page]:
    """Pages in the tail of a file; what is none is passed over."""
    at = 0
    while (at := tail.find(b"OggS\0", at)) >= 0:
        page = _read_page(tail, at)
        chance = page.whole and not b"OggS".startswith(tail[page.end : page.end + 4])
        if chance and tail.find(b"OggS\0", page.end) >= 0:
            # The name stood within a page. (Behind the last page, something was appended.)
            at += 4
            continue
        yield page
        at = page.end


def _read_page(tail: bytes, at: int) -> _Page:
    head = tail[at : at + 27].ljust(27, b"\xff")
    segments = tail[at + 27 : at + 27 + head[26]]
    end = at + 27 + head[26] + sum(segments)
    whole = len(segments) == head[26] and end <= len(tail)
    return _Page(at, end, head[5], whole, segments.endswith(b"\xff"))


# --- FLV -------------------------------------------------------------------------------------------

_TAG_HEAD = 11
_FLV_HEAD, _FLV = 13, b"FLV\x01"
_MOST_TAGS = 1_000_000
_FLV_SECONDS = 0.25


def check_flv(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file that ends within a tag, or before the size or the duration in its metadata."""
    announced = _read_metadata(reader)
    seconds, size = announced.get("duration", 0.0), announced.get("filesize", 0.0)
    last = _read_last_tag(reader)
    reached = max(decoded.seconds, last or 0.0)
    lacks_seconds = not seconds or reached < seconds - _FLV_SECONDS
    if last is None and (lacks_seconds or size > reader.size):
        return "ends within a tag"
    if not lacks_seconds:
        return None
    if size > reader.size:
        return reader.describe_cut(round(size))
    return describe_short(reached, seconds) if seconds else None


def find_second_flv(reader: Reader) -> int | None:
    """Byte at which a second file begins, where a tag is expected."""
    at = _FLV_HEAD
    for _ in range(_MOST_TAGS):
        head = reader.read(at, _TAG_HEAD)
        if head[:4] == _FLV:
            return at
        if len(head) < _TAG_HEAD:
            return None
        at += _TAG_HEAD + int.from_bytes(head[1:4], "big") + 4
    return None


def _read_metadata(reader: Reader) -> dict[str, float]:
    """Numbers of `onMetaData` that are sizes or durations."""
    head = reader.read(0, 1 << 14)
    found = re.findall(rb"\0\x08(duration|filesize)\0(.{8})", head, re.DOTALL)
    values = {name.decode(): struct.unpack(">d", value)[0] for name, value in found}
    return {name: value for name, value in values.items() if 0 < value < 1 << 50}


def _read_last_tag(reader: Reader) -> float | None:
    """Time stamp, in s, of the tag with which the file ends; None if it ends within one."""
    length = int.from_bytes(reader.read(reader.size - 4, 4), "big")
    head = reader.read(reader.size - 4 - length, _TAG_HEAD)
    if len(head) < _TAG_HEAD or _TAG_HEAD + int.from_bytes(head[1:4], "big") != length:
        return None
    return int.from_bytes(head[7:8] + head[4:7], "big") / 1000


# --- MPEG program stream (ISO 13818-1) -------------------------------------------------------------

_PACK, _END = 0xBA, 0xB9


def check_program_stream(reader: Reader, _: Decoded) -> str | None:
    """Words for a file that ends within a packet, or with zeros. One that ends between two says nothing of its length."""
    if reader.ends_blank():
        return describe_blank()
    begin = max(0, reader.size - _TAIL)
    tail = reader.read(begin, _TAIL)
    at = tail.find(b"\0\0\1\xba")
    while 0 <= at < len(tail):
        head = tail[at : at + 14]
        length = _measure_packet(head)
        if not length:
            return None
        if at + length > len(tail):
            return f"ends within the packet at byte {begin + at}"
        at += length
    return None


def _measure_packet(head: bytes) -> int:
    """Bytes of a packet, at least those of its start code; 0 if this is none."""
    if not b"\0\0\1".startswith(head[:3]) or (len(head) > 3 and head[3] < _END):
        return 0
    if len(head) < 14:
        # The file ends here: within the head, but for short packets and the end code.
        return 4 if head[3:] == bytes([_END]) else 6 + int.from_bytes(head[4:6].ljust(2, b"\1"), "big")
    if head[3] == _PACK:
        return 12 if head[4] >> 4 == 2 else 14 + (head[13] & 7)
    return 4 if head[3] == _END else 6 + int.from_bytes(head[4:6], "big")
