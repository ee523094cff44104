"""Tables as polars frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa

from emoadapt.storage.tables import read_table


def read_frame(
    paths: Path | Sequence[Path], schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read tables of one kind, one below the other.

    Args:
        paths: as for `store.read_table`.
        schema: the same.
        columns: the same.

    Raises:
        DataError: as `store.read_table`.
    """
    return to_frame(read_table(paths, schema, columns))


def make_frame(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pl.DataFrame:
    """A frame of rows with the columns of a schema."""
    return to_frame(pa.Table.from_pylist(list(rows), schema=schema))


def to_frame(table: pa.Table) -> pl.DataFrame:
    """The same table for polars."""
    return cast(pl.DataFrame, pl.from_arrow(table))
