"""Sizes of chunks: WAV, Sony Wave64, Core Audio, AIFF, IFF, AU, VOC and AVI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from emoadapt.media.complete.reading import Decoded, Reader

TOLERANCE = 1024
_MOST_CHUNKS = 10_000
_PLACEHOLDERS = {4: 0x7F000000, 8: 1 << 62}
"""Sizes of so many bytes are no sizes from here on, but were written into a pipe."""
_WAVE64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class _Layout:
    """How chunks stand in a format.

    Args:
        first: where the first one begins.
        payload: names of those that hold the media.
        name: bytes of a chunk's name.
        size: bytes of its size.
        order: of the bytes of the size.
        inclusive: whether the size counts name and size too.
        align: chunks begin at multiples of this.
        tolerance: bytes that may be missing at the end: some writers count their header as data.
    """

    first: int
    payload: tuple[bytes, ...]
    name: int = 4
    size: int = 4
    order: Literal["little", "big"] = "little"
    inclusive: bool = False
    align: int = 1
    tolerance: int = TOLERANCE


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    begin: int
    size: int | None
    """None: unknown."""

    @property
    def end(self) -> int:
        return self.begin + (self.size or 0)


_LAYOUTS = {
    b"RIFF": _Layout(12, (b"data",), align=2),
    b"RIFX": _Layout(12, (b"data",), order="big", align=2),
    b"RF64": _Layout(12, (b"data",), align=2),
    b"BW64": _Layout(12, (b"data",), align=2),
    b"riff": _Layout(40, (b"data" + _WAVE64,), name=16, size=8, inclusive=True, align=8),
    b"caff": _Layout(8, (b"data",), size=8, order="big"),
    b"FORM": _Layout(12, (b"SSND", b"BODY"), order="big", align=2),
    b"Crea": _Layout(26, (b"\x01", b"\x02", b"\x09"), name=1, size=3, tolerance=0),
}
"""The first four bytes of a file -> how its chunks stand."""
_TERMINATOR = b"\0"
"""Name of the block that ends a VOC file. It has no size."""


def check_chunks(reader: Reader, _: Decoded) -> str | None:
    """Words for a file whose media chunk is longer than the file; None if it is whole, or says nothing."""
    layout = _LAYOUTS.get(reader.read(0, 4))
    announced = max((chunk.end for chunk in _find_media(reader)), default=0)
    return reader.describe_cut(announced) if layout and announced > reader.size + layout.tolerance else None


def check_header(reader: Reader, _: Decoded) -> str | None:
    """Words for an AU or SoX file that is shorter than its one header says."""
    head = reader.read(0, 16)
    order: Literal["little", "big"] = "little" if head[:4] == b".SoX" else "big"
    first, size = int.from_bytes(head[4:8], order), int.from_bytes(head[8:12], order)
    if head[:4] in (b".SoX", b"XoS."):
        # The length of what follows the name, and the number of samples of 32 bits.
        first, size = 4 + first, 4 * int.from_bytes(head[8:16], order)
    known = size < _PLACEHOLDERS[4] or (head[:4] != b".snd" and size < _PLACEHOLDERS[8])
    return reader.describe_cut(first + size) if known and first + size > reader.size + TOLERANCE else None


def find_samples(reader: Reader) -> tuple[int, int | None] | None:
    """Bytes at which the samples begin and end; None as their end: the header does not say. None alone: there are none so far."""
    layout, long_size = _LAYOUTS.get(reader.read(0, 4)), None
    for chunk in _walk(reader, layout, layout.first) if layout else ():
        if chunk.name == b"ds64":
            long_size = int.from_bytes(reader.read(chunk.begin + 8, 8), "little")
        elif chunk.name in layout.payload:
            known = chunk.size if chunk.size is not None else long_size if long_size else None
            return chunk.begin, None if known is None or known >= _PLACEHOLDERS[8] else chunk.begin + known
    return None


def find_surplus(reader: Reader) -> tuple[int, int] | None:
    """Bytes of audio that the header counts, and where something begins that it does not count.

    None without media of known size. Chunks behind the media are counted; those of a second file are not.
    """
    chunk = next(_find_media(reader), None)
    if chunk is None or not chunk.size:
        return None
    layout = _LAYOUTS[reader.read(0, 4)]
    end = _align(chunk.end, layout)
    for rest in _walk(reader, layout, end):
        if rest.name == _TERMINATOR:
            return chunk.size, end + len(_TERMINATOR)
        if not _is_ordinary(rest.name) or rest.end > reader.size + TOLERANCE:
            break
        end = _align(rest.end, layout)
    return chunk.size, end


def begins_file(head: bytes) -> bool:
    """Whether a file of one of these formats begins with these four bytes."""
    return head in _LAYOUTS


def count_media(reader: Reader) -> int:
    """Chunks that hold samples, of which FFmpeg reads only the last."""
    return sum(bool(chunk.size) for chunk in _find_media(reader))


def begins_chunk(head: bytes) -> bool:
    """Whether an ordinary chunk, such as one of tags, begins with these four bytes."""
    return len(head) == 4 and _is_ordinary(head)


def _is_ordinary(name: bytes) -> bool:
    """Whether a chunk with this name is part of the file, and does not begin another one."""
    if name[:4] in _LAYOUTS:
        return False
    return len(name) == 1 or (name[:4].isascii() and name[:4].decode().isprintable())


def check_avi(reader: Reader, _: Decoded) -> str | None:
    """Words for a file that is shorter than one of its `movi` lists.

    A missing index behind them is no loss.
    """
    layout = _LAYOUTS[b"RIFF"]
    for riff in _walk(reader, layout, 0):
        if riff.name != b"RIFF":
            break
        for chunk in _walk(reader, layout, riff.begin + 4):
            if riff.size and chunk.begin > riff.end:
                break
            if chunk.name == b"LIST" and reader.read(chunk.begin, 4) == b"movi":
                if chunk.end > reader.size + TOLERANCE:
                    return reader.describe_cut(chunk.end)
                break
    return None


def _find_media(reader: Reader) -> Iterator[_Chunk]:
    """The chunks that hold the media, of known size."""
    layout = _LAYOUTS.get(reader.read(0, 4))
    if layout is None:
        return
    long_size = None
    for chunk in _walk(reader, layout, layout.first):
        if chunk.name[:4] in _LAYOUTS or chunk.name == _TERMINATOR:
            # A second file was joined.
            return
        if chunk.name == b"ds64":
            long_size = int.from_bytes(reader.read(chunk.begin + 8, 8), "little")
        elif chunk.name in layout.payload:
            if chunk.size is not None:
                yield chunk
            elif long_size and long_size < _PLACEHOLDERS[8]:
                yield _Chunk(chunk.name, chunk.begin, long_size)


def _walk(reader: Reader, layout: _Layout, at: int) -> Iterator[_Chunk]:
    """Chunks from a position on, up to the end of the file or the first one of unknown size."""
    return islice(_walk_on(reader, layout, at), _MOST_CHUNKS)


def _walk_on(reader: Reader, layout: _Layout, at: int) -> Iterator[_Chunk]:
    length = layout.name + layout.size
    while len(head := reader.read(at, length)) == length:
        size = int.from_bytes(head[layout.name :], layout.order)
        begin = at + length
        if layout.inclusive:
            size = max(size - length, 0)
        # A first chunk of no bytes that holds the media is a placeholder too.
        known = size < _PLACEHOLDERS.get(layout.size, 1 << 62) and (size or head[: layout.name] not in layout.payload)
        yield _Chunk(head[: layout.name], begin, size if known else None)
        if not known:
            return
        at = _align(begin + size, layout)


def _align(at: int, layout: _Layout) -> int:
    return at + -at % layout.align
