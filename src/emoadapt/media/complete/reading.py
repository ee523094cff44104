"""Bounded reads of a file's headers, and what was decoded of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, BinaryIO

_MOST = 1 << 18
_BLANK = 1024
"""Zeros that are no padding."""


@dataclass(frozen=True)
class Decoded:
    """A stream that was decoded up to the end of the file.

    Args:
        stream: of PyAV.
        seconds: end of what was decoded, from the beginning of the stream.
    """

    stream: Any
    seconds: float


class Reader:
    """Bytes of a file by position.

    Args:
        file: opened for reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, at: int, length: int) -> bytes:
        """At most `length` bytes, and at most 256 KiB; fewer at the end of the file, none outside it."""
        if not 0 <= at < self.size:
            return b""
        self._file.seek(at)
        return self._file.read(min(length, _MOST))

    def ends_blank(self) -> bool:
        """Whether the file ends with more zeros than padding has."""
        tail = self.read(self.size - _BLANK, _BLANK)
        return len(tail) == _BLANK and not any(tail)

    def describe_cut(self, announced: int) -> str:
        """Words for a file that ends before an announced size."""
        return f"has {self.size} bytes, its header announces {announced}"


def describe_short(reached: float, announced: float) -> str:
    """Words for a file that ends before an announced length; both in s."""
    return f"ends after {reached:.2f} s, its header announces {announced:.2f} s"


def describe_blank() -> str:
    """Words for a file whose space was reserved and not filled."""
    return "holds only zeros at its end, as a download that broke off leaves them"
