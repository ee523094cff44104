"""Files that were joined from several.

FFmpeg's reader gives up at the link of an Ogg file that has another sample rate or codec. It takes the tags in front of an
appended MP3 file, the headers of an appended Speex stream and the name at the beginning of an appended AMR file for audio.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

_PAGE_HEAD, _FIRST_PAGE = 27, 2
_TAG = re.compile(rb"ID3[\2-\4].{2}([\0-\x7f]{4})", re.DOTALL)
_AMR = re.compile(rb"#!AMR(-WB)?\n")
"""RFC 4867, 5.1; the beginning of a file of one channel."""
_FLAC = re.compile(rb"fLaC[\0\x80]\0\0\x22")
"""The beginning of a FLAC file: its mark, and the head of the block STREAMINFO of 34 bytes."""
_NEIGHBOURHOOD = 1 << 13
"""Bytes for the rest of an MP3 file behind one of its last frames: frames have 1,441 at most, an ID3v1 tag has 128."""


def find_link(path: Path, at: int) -> int | None:
    """Byte at which the next link begins.

    Args:
        path: an Ogg file.
        at: byte at which a page of the link before it begins.
    """
    with path.open("rb") as file:
        inside = False
        while True:
            file.seek(at)
            head = file.read(_PAGE_HEAD)
            if len(head) < _PAGE_HEAD or head[:4] != b"OggS":
                return None
            # A link begins with one such page for each of its streams.
            opens = bool(head[5] & _FIRST_PAGE)
            if opens and inside:
                return at
            inside = inside or not opens
            segments = file.read(head[26])
            at += _PAGE_HEAD + len(segments) + sum(segments)


def begins_link(path: Path, at: int) -> bool:
    """Whether a link of an Ogg file begins with the page at a byte."""
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(_PAGE_HEAD)
    return len(head) == _PAGE_HEAD and head[:4] == b"OggS" and bool(head[5] & _FIRST_PAGE)


@lru_cache(maxsize=64)
def _count_flac(path: Path, size: int, written: int) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sum(1 for _ in _FLAC.finditer(content))


def is_joined_flac(path: Path) -> bool:
    """Whether a FLAC file holds several: their frames are numbered anew, and FFmpeg seeks by these numbers."""
    status = path.stat()
    return _count_flac(path, status.st_size, status.st_mtime_ns) > 1


def find_amr(path: Path, at: int) -> int | None:
    """Byte behind `at` where the next of several joined AMR files begins."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _AMR.search(content, at + 1)
        return found.start() if found else None


@contextmanager
def open_link(path: Path, begin: int, form: str) -> Iterator[Any]:
    """What begins at a byte of an Ogg or AMR file, as PyAV opens it."""
    import av

    with path.open("rb") as file, av.open(_Rest(file, begin), format=form, metadata_errors="replace") as container:
        yield container


def shift_frame(frame: Any, seconds: float) -> Any:
    """Set the time stamp of a link's frame to the clock of the whole file."""
    frame.pts = round(((frame.time or 0.0) + seconds) / frame.time_base)
    return frame


def find_tag_end(path: Path, at: int) -> int:
    """Byte behind the ID3v2 tag that follows a frame of an MP3 file; 0 if none does.

    Args:
        path: an MP3 file.
        at: byte at which the frame begins.
    """
    with path.open("rb") as file:
        file.seek(at)
        content = file.read(_NEIGHBOURHOOD)
    tag = _TAG.search(content)
    if tag is None:
        return 0
    return at + tag.end() + decode_tag_size(tag[1])


def decode_tag_size(digits: bytes) -> int:
    """Bytes of an ID3v2 tag behind its head, from four digits of 7 bits."""
    a, b, c, d = digits
    return a << 21 | b << 14 | c << 7 | d


class _Rest(io.RawIOBase):
    """A file from a byte on."""

    def __init__(self, file: BinaryIO, begin: int) -> None:
        self._file, self._begin = file, begin
        file.seek(begin)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset + self._begin if whence == 0 else offset, whence) - self._begin
