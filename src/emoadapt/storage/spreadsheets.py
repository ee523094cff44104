"""CSV files that a spreadsheet shows as text and does not execute.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and some skip a tab or a line break before it. Names of
speakers and files, labels and notes come from strangers. Such text gets an apostrophe in front, as OWASP advises ("CSV
Injection"); numbers stay numbers. What has an apostrophe before such a sign gets one more, so that nothing is lost.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    import polars as pl

_FORMULA = r"^('*[=+\-@\t\r\n＝＋－＠])"
_ESCAPED = r"^'('*[=+\-@\t\r\n＝＋－＠])"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def escape_cell(value: Any) -> Any:
    """Text that would be a formula, with an apostrophe; anything else as it is."""
    if not isinstance(value, str) or re.fullmatch(_NUMBER[1:-1], value):
        return value
    return re.sub(_FORMULA, r"'\1", value)


class CsvWriter:
    """Writes rows with the keys `columns`.

    Args:
        file: open text file, with `newline=""`.
        columns: names.
        ignore_others: leave other keys out; else they are an error.
    """

    def __init__(self, file: TextIO, columns: Sequence[str], *, ignore_others: bool = False) -> None:
        others: Literal["ignore", "raise"] = "ignore" if ignore_others else "raise"
        self._writer = csv.DictWriter(file, columns, extrasaction=others, lineterminator="\n")

    def write_header(self) -> None:
        """Write the first line; names of columns may be labels."""
        self.write_row({name: name for name in self._writer.fieldnames})

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a line."""
        self._writer.writerow({name: escape_cell(value) for name, value in row.items()})


def format_frame(frame: pl.DataFrame) -> str:
    """A table as CSV."""
    import polars as pl

    text = pl.col(pl.String)
    escaped = pl.when(text.str.contains(_NUMBER)).then(text).otherwise(text.str.replace(_FORMULA, "'${1}"))
    return frame.with_columns(escaped).rename(escape_cell).write_csv()


def read_csv(path: Path, columns: Mapping[str, Any]) -> pl.DataFrame:
    """Read what `format_frame` wrote.

    Args:
        path: the file.
        columns: name -> polars type, of all columns.
    """
    return scan_csv(path, columns).collect()


def scan_csv(path: Path, columns: Mapping[str, Any]) -> pl.LazyFrame:
    """The same, read when it is collected: only the rows and columns that are asked for."""
    import polars as pl

    return pl.scan_csv(path, schema=dict(columns)).with_columns(pl.col(pl.String).str.replace(_ESCAPED, "${1}"))
