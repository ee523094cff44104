"""Reading and writing of all Parquet tables.

Writes are atomic (`emoadapt.storage.files`) and carry provenance in the file's metadata. Tables
with columns of bytes are stored plain, which is what makes reading audio cheap; the others are compressed with zstd.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emoadapt.errors import DataError
from emoadapt.storage.files import replacing

_PROVENANCE = b"emoadapt."
VERIFIED: dict[str, Any] = {"page_checksum_verification": True}
"""How tables are read: a page that a failing disk changed is noticed, and not used."""
ROWS_PER_GROUP = 32
"""Rows per Parquet row group of tables with bytes, so that a chunk can be read without the rest of its shard."""


def read_table(
    paths: Path | str | Sequence[Path | str], schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read one table, or several shards of one, in the order given.

    Raises:
        DataError: a file is missing, is no Parquet file, or has other columns than `schema`.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    tables = []
    for path in paths:
        with _explained(path):
            tables.append(read_file(path, schema, columns))
    if not tables:
        if schema is None:
            raise DataError("no table to read was named")
        empty = schema.empty_table()
        return empty if columns is None else empty.select(list(columns))
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables], promote_options="permissive")


def read_file(path: Path | str, schema: pa.Schema | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one table, without the half second of imports of `pq.read_table`; errors are those of Arrow.

    Raises:
        DataError: it has other columns than `schema`.
    """
    with pq.ParquetFile(path, **VERIFIED) as file:
        check_schema(path, file.schema_arrow, schema)
        return file.read() if columns is None else file.read(list(columns)).select(list(columns))


def iterate_groups(
    path: Path | str, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Read one table, a row group at a time: of a shard with bytes no more than `ROWS_PER_GROUP` rows are in memory.

    Raises:
        DataError: as `read_table`.
    """
    with _explained(path), pq.ParquetFile(path, **VERIFIED) as file:
        check_schema(path, file.schema_arrow, schema)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=None if columns is None else list(columns))
            yield table.replace_schema_metadata(None)


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """What is wrong with a file that cannot be read, in a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; compute it with `snakemake {path}` and the options of your study"
        ) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        raise DataError(f"{path} is not a readable Parquet file ({error}); delete it and run again") from None


def is_damage(error: Exception) -> bool:
    """Whether an error means damaged content, and not a disk or memory problem."""
    if isinstance(error, OSError):
        # Arrow reports damaged pages by this type too, without a number of the system's.
        return error.errno is None
    return isinstance(
        error, (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError, UnicodeDecodeError)
    )


def check_schema(path: Path | str, found: pa.Schema, expected: pa.Schema | None) -> None:
    """Compare column names and types.

    Raises:
        DataError: naming the first difference.
    """
    if expected is None:
        return
    for field in expected:
        index = found.get_field_index(field.name)
        if index < 0:
            raise DataError(
                f"{path} has no column {field.name!r}; it was written by another version: delete it and run again"
            )
        if found.field(index).type != field.type:
            raise DataError(
                f"{path}: column {field.name!r} is {found.field(index).type}, expected {field.type}; delete it and run again"
            )


def write_table(
    path: Path | str,
    content: pa.Table | Iterable[Mapping[str, Any]],
    schema: pa.Schema,
    provenance: Mapping[str, str] | None = None,
) -> None:
    """Write a table atomically.

    Args:
        path: Parquet file; its folder is made.
        content: a table, or rows as mappings (absent keys are null).
        schema: columns, in order.
        provenance: names and values kept in the file's metadata.

    Raises:
        DataError: a column that must not be null is.
    """
    path = Path(path)
    table = content if isinstance(content, pa.Table) else pa.Table.from_pylist(list(content), schema=schema)
    _refuse_nulls(path, table, schema)
    table = _order(table, schema).replace_schema_metadata(_encode(provenance))
    heavy = any(_holds_bytes(field.type) for field in schema)
    with replacing(path) as part:
        pq.write_table(table, part, row_group_size=ROWS_PER_GROUP if heavy else 65_536, **_layout(schema))


def write_batches(
    path: Path | str, batches: Iterable[pa.Table], schema: pa.Schema, provenance: Mapping[str, str] | None = None
) -> None:
    """Write a table atomically, a batch at a time: each becomes a row group and may then be forgotten.

    Raises:
        DataError: a column that must not be null is; the table is then as it was.
    """
    path = Path(path)
    kept = pa.schema(list(schema), metadata=_encode(provenance))
    with replacing(path) as part, pq.ParquetWriter(part, kept, **_layout(schema)) as writer:
        for batch in batches:
            _refuse_nulls(path, batch, schema)
            writer.write_table(_order(batch, schema).replace_schema_metadata(kept.metadata))


def _order(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema, in their order and types."""
    found = table.select(schema.names).replace_schema_metadata(None)
    # A cast imports Arrow's functions for a tenth of a second.
    return found if found.schema.equals(schema, check_metadata=True) else found.cast(schema)


def _refuse_nulls(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise DataError(f"{path}: column {field.name!r} must not be null in any row")


def same_columns(path: Path | str, schema: pa.Schema) -> bool:
    """Whether a table has exactly these columns, of these types."""
    found = pq.read_schema(path)
    return [(field.name, field.type) for field in found] == [(field.name, field.type) for field in schema]


class RowReader:
    """Reads single rows of a table in ascending order, with one row group in memory."""

    def __init__(self, path: Path | str, schema: pa.Schema) -> None:
        self._file = pq.ParquetFile(path, **VERIFIED)
        self._schema = schema
        self._group, self._begin, self._end = -1, 0, 0
        self._table: pa.Table = schema.empty_table()

    def read_row(self, number: int) -> pa.Table:
        """A table of one row; `number` must not be below that of the last call."""
        while number >= self._end:
            self._group += 1
            self._begin, self._end = self._end, self._end + self._file.metadata.row_group(self._group).num_rows
            if number < self._end:
                table = self._file.read_row_group(self._group, columns=self._schema.names)
                self._table = table.replace_schema_metadata(None).cast(self._schema)
        return self._table.slice(number - self._begin, 1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_provenance(path: Path | str) -> dict[str, str]:
    """Provenance of a table: what `write_table` was given."""
    metadata = pq.read_schema(path).metadata or {}
    return {
        name.removeprefix(_PROVENANCE).decode(): value.decode()
        for name, value in metadata.items()
        if name.startswith(_PROVENANCE)
    }


def iterate_chunks(path: Path | str, wanted: Sequence[int], size: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows `wanted` (ascending numbers) in chunks of `size`, reading only their row groups."""
    with pq.ParquetFile(path, **VERIFIED) as file:
        starts = [0]
        for group in range(file.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
        for begin in range(0, len(wanted), size):
            rows = wanted[begin : begin + size]
            groups = [g for g in range(file.num_row_groups) if starts[g] <= rows[-1] and starts[g + 1] > rows[0]]
            table = file.read_row_groups(groups, columns=list(columns))
            yield table.take(pa.array([row - starts[groups[0]] for row in rows], pa.int64()))


def _encode(provenance: Mapping[str, str] | None) -> dict[bytes, bytes]:
    return {_PROVENANCE + name.encode(): value.encode() for name, value in (provenance or {}).items()}


def _layout(schema: pa.Schema) -> dict[str, Any]:
    return {
        "compression": "none" if any(_holds_bytes(field.type) for field in schema) else "zstd",
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_page_checksum": True,
    }


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_binary(kind)
