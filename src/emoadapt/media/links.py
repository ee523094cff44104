"""Ogg files of several links, of which FFmpeg's reader gives up at one with another sample rate or codec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_PAGE_HEAD, _FIRST_PAGE = 27, 2


def find_link(path: Path, at: int) -> int | None:
    """Byte at which the next link begins.

    Args:
        path: an Ogg file.
        at: byte at which a page of the link before it begins.
    """
    with path.open("rb") as file:
        first = True
        while True:
            file.seek(at)
            head = file.read(_PAGE_HEAD)
            if len(head) < _PAGE_HEAD or head[:4] != b"OggS":
                return None
            if head[5] & _FIRST_PAGE and not first:
                return at
            first = False
            segments = file.read(head[26])
            at += _PAGE_HEAD + len(segments) + sum(segments)


@contextmanager
def open_link(path: Path, begin: int) -> Iterator[Any]:
    """What begins at a byte of an Ogg file, as PyAV opens it."""
    import av

    with path.open("rb") as file, av.open(_Rest(file, begin), format="ogg", metadata_errors="replace") as container:
        yield container


def shift_frame(frame: Any, seconds: float) -> Any:
    """Set the time stamp of a link's frame to the clock of the whole file."""
    frame.pts = round(((frame.time or 0.0) + seconds) / frame.time_base)
    return frame


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
