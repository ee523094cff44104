"""Reading of CSV and TSV tables without losing a row.

A quotation mark that is never closed takes all rows up to the next mark into one cell, and the rest still looks like a table. So each
line is one row unless the quoting says otherwise, and each row has as many cells as the header. Other rows are refused with their
lines.
"""

from __future__ import annotations

import codecs
import csv
import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from emoadapt.errors import CorpusError, name_count

Quoting = Literal["standard", "multiline", "none"]
"""`standard`: a cell in double quotes may hold the separator, and a quotation mark written twice. `multiline`: line ends too.
`none`: quotation marks are ordinary characters."""

Chooser = Callable[[list[str]], Sequence[str]]
"""Takes the wanted cells out of a row."""

SEPARATORS = (",", "\t", ";", "|")
_CHUNK = 10_000
"""Rows that are held whole at a time."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Args:
        header: stripped cells of the first row; empty where the table has none.
        rows: wanted cells of all other rows that are not blank.
        lines: number of the first line of each row, from 1.
        n_lines: lines of the file.
        n_blank: rows that were left out because all their cells are empty.
    """

    header: list[str]
    rows: list[Sequence[str]]
    lines: Sequence[int]
    n_lines: int
    n_blank: int

    def describe(self) -> str:
        """`18 lines: a header, 16 rows and 1 blank`."""
        parts = [*(["a header"] if self.header else []), name_count(len(self.rows), "row")]
        parts += [f"{self.n_blank:,} blank"] if self.n_blank else []
        return f"{name_count(self.n_lines, 'line')}: {' and '.join([', '.join(parts[:-1]), *parts[-1:]] if parts[1:] else parts)}"


@dataclass(frozen=True)
class Reader:
    """Way to read a table, and words for its faults.

    Args:
        where: beginning of every message, such as `corpus c: data/t.csv`.
        remedy: what to do about a damaged row.
        separator: between cells; None = that of `SEPARATORS` that gives the header most cells.
        quoting: see `Quoting`.
        quoting_remedy: what to do about a cell that spans lines.
        strict: refuse a cell in which text follows the closing quotation mark.
        skip_blanks: pass over blanks after a separator.
        has_header: whether the first row names the columns.
    """

    where: str
    remedy: str
    separator: str | None = ","
    quoting: Quoting = "standard"
    quoting_remedy: str = "close the quotation mark"
    strict: bool = False
    skip_blanks: bool = False
    has_header: bool = True

    def read(self, path: Path, choose: Callable[[list[str]], Chooser] | None = None) -> Table:
        """Read a table.

        Args:
            path: the file.
            choose: header -> function that takes the wanted cells out of a row; None = all cells.

        Raises:
            CorpusError: it is empty, no text of this encoding, or a row cannot be read for sure.
            OSError: the file cannot be read.
        """
        content = path.read_bytes()
        self._check_text(content)
        chunks = self._parse(content)
        head, head_lines = next(chunks)
        first, header = head[0], [cell.strip() for cell in head[0]] if self.has_header else []
        if self.has_header and not any(header):
            raise CorpusError(f"{self.where}, line 1: blank, and the header should stand here; {self.remedy}")
        take = choose(header) if choose else None
        if self.has_header:
            head, head_lines = head[1:], head_lines[1:]
        # Joined files have their byte order marks in the middle.
        joined = codecs.BOM_UTF8 in content[3:]
        kept, kept_lines, n_rows = list[Sequence[str]](), array("L"), 0
        for rows, lines in chain([(head, head_lines)], chunks):
            full, full_lines = _leave_out_blank(rows, lines)
            if self.has_header:
                self._check_rows(first, full, full_lines, joined)
            kept += map(take, full) if take else full
            kept_lines += full_lines
            n_rows += len(rows)
        if not kept:
            raise CorpusError(
                f"{self.where}: the table is empty: it has a header and no row; add rows, or name another table"
            )
        n_lines = sum(1 for _ in _open(content))
        return Table(header, kept, kept_lines, n_lines, n_rows - len(kept))

    def _check_text(self, content: bytes) -> None:
        """Refuse what is empty or no UTF-8 text."""
        if content.startswith(_UTF_16):
            raise CorpusError(f"{self.where}: UTF-16 text, as Excel saves it; save it as UTF-8")
        if b"\0" in content:
            line = content.count(b"\n", 0, content.index(b"\0")) + 1
            raise CorpusError(
                f"{self.where}, line {line}: a NUL byte: the table is damaged, or UTF-16 text; save it as UTF-8, or {self.remedy}"
            )
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise CorpusError(
                f"{self.where}, line {line}: not UTF-8 text ({error.reason}); save it as UTF-8, or {self.remedy}"
            ) from None
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            raise CorpusError(f"{self.where}: the table is empty; add a header and rows, or name another table")

    def _options(self, header: str) -> dict[str, Any]:
        options: dict[str, Any] = {"strict": self.strict, "skipinitialspace": self.skip_blanks}
        if self.quoting == "none":
            options |= {"quoting": csv.QUOTE_NONE}

        def count(separator: str) -> int:
            try:
                return len(next(csv.reader([header], delimiter=separator, **options), []))
            except csv.Error:
                return 0

        return options | {"delimiter": self.separator or max(SEPARATORS, key=count)}

    def _parse(self, content: bytes) -> Iterator[tuple[list[list[str]], array[int]]]:
        """Rows, some thousands at a time, and the number of the first line of each."""
        options = self._options(next(_open(content)))
        if self.quoting == "multiline":
            yield from self._parse_rows(content, options)
            return
        reader, done = csv.reader(_open(content), **options), 0
        try:
            while rows := list(islice(reader, _CHUNK)):
                # Where each line gives one row, no line number need be taken down.
                if reader.line_num - done != len(rows):
                    break
                yield rows, array("L", range(done + 1, reader.line_num + 1))
                done = reader.line_num
        except csv.Error:
            rows = [[]]
        if rows:
            for _ in self._parse_rows(content, options):
                pass

    def _parse_rows(self, content: bytes, options: dict[str, Any]) -> Iterator[tuple[list[list[str]], array[int]]]:
        """The same, row by row, so that what spans lines is found."""
        reader, first = csv.reader(_open(content), **options), 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if reader.line_num > first:
                    raise self._refuse_span(first, reader.line_num, content) from None
                raise self._refuse_cell(first, error) from None
            if cells is None:
                return
            if reader.line_num > first and self.quoting != "multiline":
                raise self._refuse_span(first, reader.line_num, content)
            yield [cells], array("L", [first])
            first = reader.line_num + 1

    def _refuse_span(self, first: int, last: int, content: bytes) -> CorpusError:
        closed = '"' in next(islice(_open(content), last - 1, None))
        end = f"the next one stands in line {last}" if closed else "none follows"
        return CorpusError(
            f"{self.where}, lines {first} to {last}: one cell spans these lines, because a quotation mark opens it in line {first} "
            f"and {end}; {self.quoting_remedy}"
        )

    def _refuse_cell(self, line: int, error: csv.Error) -> CorpusError:
        if self.quoting == "none" or "limit" in str(error):
            return CorpusError(f"{self.where}, line {line}: cannot be read ({error}); {self.remedy}")
        return CorpusError(
            f"{self.where}, line {line}: a cell begins with a quotation mark, and text follows the closing one, or there is none; "
            f"{self.quoting_remedy}"
        )

    def _check_rows(self, header: list[str], rows: list[list[str]], lines: array[int], joined: bool) -> None:
        width = len(header)
        if {*map(len, rows)} - {width}:
            at = next(at for at, cells in enumerate(rows) if len(cells) != width)
            raise CorpusError(
                f"{self.where}, line {lines[at]}: {name_count(len(rows[at]), 'cell')} under {name_count(width, 'column')}; {self.remedy}"
            )
        if joined:
            rows = [[cell.replace("\ufeff", "") for cell in cells] for cells in rows]
        if header in rows:
            raise CorpusError(
                f"{self.where}, line {lines[rows.index(header)]}: repeats the header, as where two tables were joined; {self.remedy}"
            )


def _open(content: bytes) -> io.TextIOWrapper:
    """Lines, whose ends (LF, CR LF, or CR) are LF."""
    return io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=None)


def _leave_out_blank(rows: list[list[str]], lines: array[int]) -> tuple[list[list[str]], array[int]]:
    # The first cell is hardly ever empty, and asking for all takes as long as reading them.
    if all(rows) and all(map(itemgetter(0), rows)):
        return rows, lines
    kept = [at for at, cells in enumerate(rows) if "".join(cells).strip()]
    return [rows[at] for at in kept], array("L", [lines[at] for at in kept])
