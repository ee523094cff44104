"""Sizes of nested elements: MP4, Matroska and WebM, ASF, IVF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emoadapt.media.complete.reading import Decoded, Reader, describe_blank, describe_short

_MOST_ELEMENTS = 100_000
_LAST_SAMPLES = 16

# --- MP4 (ISO 14496-12) ----------------------------------------------------------------------------


def check_mp4(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file that lacks samples of the stream's table, or parts of its fragments."""
    entries = decoded.stream.index_entries
    samples = [entries[i] for i in range(max(0, len(entries) - _LAST_SAMPLES), len(entries))]
    announced = max((sample.pos + sample.size for sample in samples), default=0)
    boxes = list(_walk_boxes(reader))
    if any(name == b"moof" for name, _, _ in boxes):
        silent = decoded.stream.codec_context.name.startswith("pcm_")
        if not silent and reader.ends_blank() and boxes[-1][0] != b"free":
            return describe_blank()
        announced = max([announced, *(end for _, _, end in boxes), *_read_segment_index(reader, boxes)])
    return reader.describe_cut(announced) if announced > reader.size else None


def find_second_mp4(reader: Reader) -> int | None:
    """Byte at which a second movie begins. Of its boxes, FFmpeg reads none."""
    described = False
    start = None
    for name, begin, _ in _walk_boxes(reader):
        if name == b"ftyp" and described:
            start = begin
        elif name == b"moov":
            if start:
                return start
            described = True
    return None


def _walk_boxes(reader: Reader) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of the boxes that are in no other."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        head = reader.read(at, 16)
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            # 0: up to the end of the file.
            return
        yield head[4:8], at, at + size
        at += size


def _read_segment_index(reader: Reader, boxes: list[tuple[bytes, int, int]]) -> Iterator[int]:
    """Ends of what the segment indices (`sidx`) refer to."""
    for name, begin, end in boxes:
        if name != b"sidx":
            continue
        box = reader.read(begin, end - begin)
        wide = len(box) > 8 and box[8] == 1
        offset = int.from_bytes(box[28:36] if wide else box[24:28], "big")
        table = box[40:] if wide else box[32:]
        sizes = [int.from_bytes(table[i : i + 4], "big") & 0x7FFFFFFF for i in range(0, len(table) - 11, 12)]
        yield end + offset + sum(sizes)


# --- Matroska and WebM (RFC 9559) ------------------------------------------------------------------

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_MATROSKA_SECONDS = 0.25


@dataclass(frozen=True)
class _Element:
    id: int
    begin: int
    size: int | None
    """None: unknown, as in live streams."""


def check_matroska(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file that is shorter than its segment, or whose segment breaks off before the declared duration.

    In a live recording, whose size is unknown: shorter than its last element.
    """
    at, end, found = 0, reader.size, False
    for _ in range(_MOST_ELEMENTS):
        if at >= end:
            return None
        element = _read_element(reader, at)
        if element is None:
            return _describe_break(reader, decoded) if found else None
        if element.size is not None and element.begin + element.size > reader.size:
            return reader.describe_cut(element.begin + element.size)
        if element.id == _SEGMENT:
            end = end if element.size is None else element.begin + element.size
            found = True
        elif element.size is None and element.id != _CLUSTER:
            return None
        # Go through the children of the segment, and of clusters of unknown size.
        at = element.begin if element.id == _SEGMENT or element.size is None else element.begin + element.size
    return None


def _describe_break(reader: Reader, decoded: Decoded) -> str | None:
    """Words for a file with no element where one is expected, which ends early or is live."""
    declared = (decoded.stream.container.duration or 0) / 1e6
    if decoded.seconds < declared - _MATROSKA_SECONDS:
        return describe_short(decoded.seconds, declared)
    return describe_blank() if reader.ends_blank() else None


def _read_element(reader: Reader, at: int) -> _Element | None:
    head = reader.read(at, 12)
    if not head:
        return None
    id_length = 9 - head[0].bit_length()
    if id_length > 4 or len(head) <= id_length:
        return None
    length = 9 - head[id_length].bit_length()
    if length > 8 or len(head) < id_length + length:
        return None
    mask = (1 << 7 * length) - 1
    size = int.from_bytes(head[id_length : id_length + length], "big") & mask
    return _Element(int.from_bytes(head[:id_length], "big"), at + id_length + length, None if size == mask else size)


# --- ASF: WMA and WMV ------------------------------------------------------------------------------

_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BROADCAST = 1


def check_asf(reader: Reader, _: Decoded) -> str | None:
    """Words for a file that is shorter than its header says; a broadcast says nothing."""
    announced = find_asf_end(reader)
    return reader.describe_cut(announced) if announced and announced > reader.size else None


def find_asf_end(reader: Reader) -> int | None:
    """Bytes that the header announces; None if it is a broadcast."""
    head = reader.read(0, 1 << 16)
    at = head.find(_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    broadcast = int.from_bytes(head[at + 88 : at + 92], "little") & _BROADCAST
    return None if broadcast else int.from_bytes(head[at + 40 : at + 48], "little")


# --- IVF -------------------------------------------------------------------------------------------

_IVF_HEAD, _IVF_FRAME = 32, 12


def check_ivf(reader: Reader, _: Decoded) -> str | None:
    """Words for a file that ends within a frame; the number of frames in its header is often wrong."""
    at = _IVF_HEAD
    for _ in range(_MOST_ELEMENTS):
        head = reader.read(at, _IVF_FRAME)
        if not head:
            break
        at += _IVF_FRAME + int.from_bytes(head[:4], "little")
    return reader.describe_cut(at) if at > reader.size else None
