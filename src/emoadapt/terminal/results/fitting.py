"""Tables of text that fit the width of a terminal."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import polars as pl

EMPTY = ("", "–")
"""Cells that say nothing."""
GAP = "  "
_NUMBER = re.compile(r"(< )?[+−-]?[.\d][\d.,]*( ± [\d.]+)?( \*+)?( %)?")
"""A cell that is set flush right: a number, with its spread and stars."""


@dataclass(frozen=True)
class Fitted:
    """A table as it is printed.

    Args:
        lines: a head of one or more lines, and a line for each row.
        same: column -> the value that all its rows have; such a column is not in the lines.
        hidden: columns that found no room.
    """

    lines: list[str]
    same: dict[str, str]
    hidden: list[str]


def find_width(file: TextIO = sys.stdout) -> int | None:
    """Columns of the terminal; None in a pipe or a file, where lines may have any length."""
    return shutil.get_terminal_size().columns if file.isatty() else None


def fit_table(frame: pl.DataFrame, width: int | None, kept: int = 2) -> Fitted:
    """Leave out what says nothing, state once what all rows share, and hide the last columns that find no room.

    Args:
        frame: text columns.
        width: of the terminal; None = any.
        kept: first columns that are never hidden; the last of them is cut where they alone are too wide.
    """
    told = [name for name in frame.columns if not set(frame[name]) <= set(EMPTY)]
    same = {name: frame[name][0] for name in told if frame.height > 1 and frame[name].n_unique() == 1}
    shown = [name for name in told if name not in same] or told[:1]
    same = {name: value for name, value in same.items() if name not in shown}
    widths = {name: _measure(frame, name) for name in shown}
    hidden: list[str] = []
    while width is not None and len(shown) > kept and _total(shown, widths) > width:
        hidden.insert(0, shown.pop())
    if width is not None and (excess := _total(shown, widths) - width) > 0:
        widths[shown[-1]] = max(8, widths[shown[-1]] - excess)
    return Fitted(_write_lines(frame.select(shown), [widths[name] for name in shown]), same, hidden)


def _measure(frame: pl.DataFrame, name: str) -> int:
    """Width of a column: of its longest cell, or of the longest word of its head."""
    return max(map(len, [*frame[name], *name.split()]), default=1)


def _total(names: Sequence[str], widths: dict[str, int]) -> int:
    return sum(widths[name] for name in names) + len(GAP) * (len(names) - 1)


def _write_lines(frame: pl.DataFrame, widths: Sequence[int]) -> list[str]:
    right = [all(_is_number(cell) for cell in frame[name]) for name in frame.columns]
    heads = [textwrap.wrap(name, width) for name, width in zip(frame.columns, widths, strict=True)]
    depth = max(map(len, heads))
    rows = [
        [head[line - depth + len(head)] if line >= depth - len(head) else "" for head in heads] for line in range(depth)
    ]
    return [_write_line(row, widths, right) for row in [*rows, *frame.iter_rows()]]


def _is_number(cell: str) -> bool:
    return cell in EMPTY or _NUMBER.fullmatch(cell) is not None


def _write_line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = zip(cells, widths, right, strict=True)
    cut = ((cell if len(cell) <= size else cell[: size - 1] + "…", size, flush) for cell, size, flush in placed)
    return GAP.join(cell.rjust(size) if flush else cell.ljust(size) for cell, size, flush in cut).rstrip()
