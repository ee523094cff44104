"""Reading and writing of all Parquet tables.

Writes are atomic (`emoadapt.storage.files`). A table states in its footer what it is and what it was made from
(`emoadapt.storage.footers`), and is refused when this does not fit what is read. Tables with columns of bytes are stored plain,
which is what makes reading audio cheap; the others are compressed with zstd.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from emoadapt.errors import DataError
from emoadapt.storage.claims import current_claim
from emoadapt.storage.files import replacing
from emoadapt.storage.footers import ENTRY, Damaged, Statement, encode_statement, read_statement, sign_footer

ROWS_PER_GROUP = 32
"""Rows per Parquet row group of tables with bytes, so that a chunk can be read without the rest of its shard."""
_MOST_ROWS_PER_GROUP = 65_536


class Missing(DataError):
    """A table that was not computed, or was deleted."""


def read_table(
    paths: Path | str | Sequence[Path | str], schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read one table, or several shards of one, in the order given.

    Raises:
        Missing: a file is missing.
        Damaged: a file is not what was written, or was written by another version.
        DataError: a file has other columns than `schema`.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    tables = [_read_one(path, schema, columns) for path in paths]
    if not tables:
        if schema is None:
            raise DataError("no table to read was named")
        empty = schema.empty_table()
        return empty if columns is None else empty.select(list(columns))
    return pa.concat_tables(tables, promote_options="permissive")


def _read_one(path: Path | str, schema: pa.Schema | None, columns: Sequence[str] | None) -> pa.Table:
    with open_table(path, schema) as (file, stated):
        table = file.read() if columns is None else file.read(list(columns)).select(list(columns))
        names = _Names(file.schema_arrow)
        names.add(table)
        names.compare(path, stated)
        return table.replace_schema_metadata(None)


def iterate_groups(
    path: Path | str, schema: pa.Schema | None = None, columns: Sequence[str] | None = None
) -> Generator[pa.Table]:
    """Read one table, a row group at a time: of a shard with bytes no more than `ROWS_PER_GROUP` rows are in memory.

    Raises:
        DataError: as `read_table`.
    """
    with open_table(path, schema) as (file, stated):
        names = _Names(file.schema_arrow)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=None if columns is None else list(columns))
            names.add(table)
            yield table.replace_schema_metadata(None)
        names.compare(path, stated)


@contextmanager
def open_table(path: Path | str, schema: pa.Schema | None = None) -> Iterator[tuple[pq.ParquetFile, Statement]]:
    """Open a table and read what it states, with its footer compared with the footer's digest.

    What is wrong with the table, then or later, becomes a sentence. It does without the half second of imports of
    `pq.read_table`.

    Raises:
        DataError: as `read_table`.
    """
    with _explained(path):
        stated = read_statement(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            check_schema(path, file.schema_arrow, schema)
            yield file, stated


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """What is wrong with a file that cannot be read, in a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise Missing(f"{path} is missing; compute it with `snakemake {path}` and the options of your study") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        found = " ".join(str(error).split())
        raise Damaged(f"{path} is not a readable Parquet file ({found}); delete it and run again") from None


class _Names:
    """Number of rows of a table, and digest of their names: the utterance, or else the first column.

    Args:
        schema: its columns.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self._column = "utterance_id" if "utterance_id" in schema.names else schema.names[0]
        self._digest: Any = sha256()

    def add(self, table: pa.Table) -> None:
        """Take further rows; their names are not known where their column is left out."""
        self.rows += table.num_rows
        if self._column not in table.column_names:
            self._digest = None
        elif self._digest:
            self._digest.update("".join(f"{name}\n" for name in table.column(self._column).to_pylist()).encode())

    def digest(self) -> str | None:
        """Digest of the names, in order."""
        return self._digest.hexdigest()[:32] if self._digest else None

    def compare(self, path: Path | str, stated: Statement) -> None:
        """Compare the rows that were read with those that a table states.

        Raises:
            Damaged: they are others.
        """
        if self.rows != stated.rows:
            raise Damaged(f"{path} has {self.rows:,} rows, and {stated.rows:,} were written; delete it and run again")
        if self.digest() not in (None, stated.keys):
            raise Damaged(f"{path} has other rows than were written; delete it and run again")


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
    """Write a table atomically, with the current claim (`emoadapt.storage.claims`).

    Args:
        path: Parquet file; its folder is made.
        content: a table, or rows as mappings (absent keys are null).
        schema: columns, in order.
        provenance: names and values kept in the footer.

    Raises:
        DataError: a column that must not be null is.
    """
    table = content if isinstance(content, pa.Table) else pa.Table.from_pylist(list(content), schema=schema)
    write_batches(path, [table], schema, provenance)


def write_batches(
    path: Path | str, batches: Iterable[pa.Table], schema: pa.Schema, provenance: Mapping[str, str] | None = None
) -> None:
    """Write a table atomically, a batch at a time: each becomes a row group, or several, and may then be forgotten.

    Args:
        path: as for `write_table`.
        batches: its rows.
        schema: the same.
        provenance: the same.

    Raises:
        DataError: a column that must not be null is; the table is then as it was.
    """
    path = Path(path)
    bare = pa.schema(list(schema))
    names = _Names(schema)
    with replacing(path) as part, part.open("wb") as file:
        sink = _Sink(file)
        with pq.ParquetWriter(sink, bare, **_layout(schema)) as writer:
            for batch in batches:
                _refuse_nulls(path, batch, schema)
                names.add(batch)
                size = ROWS_PER_GROUP if _is_heavy(schema) else _MOST_ROWS_PER_GROUP
                writer.write_table(_order(batch, schema), row_group_size=size)
            identity = sink.end_pages(_describe(schema), sorted((provenance or {}).items()))
            statement = Statement(identity, names.rows, names.digest() or "", current_claim(), provenance or {})
            writer.add_key_value_metadata({ENTRY: encode_statement(statement)})
        sink.sign()


class _Sink(BufferedIOBase):
    """Where Arrow writes a table: pages are hashed on their way, and the footer is kept back until it is signed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._pages = sha256()
        self._footer: bytearray | None = None

    def writable(self) -> bool:
        """For Arrow, which asks."""
        return True

    def write(self, content: Any) -> int:
        """Hash and write a piece of a page, or keep one of the footer."""
        if self._footer is not None:
            self._footer += content
        else:
            self._pages.update(content)
            self._file.write(content)
        return len(content)

    def tell(self) -> int:
        """The end of what was written."""
        return self._file.tell() + len(self._footer or b"")

    def end_pages(self, *others: Any) -> str:
        """Take all that follows for the footer; the digest of the pages and of other things."""
        self._footer = bytearray()
        self._pages.update(json.dumps(others).encode())
        return self._pages.hexdigest()[:32]

    def sign(self) -> None:
        """Write the footer, with its own digest."""
        footer = bytes(self._footer or b"")
        if int.from_bytes(footer[-8:-4], "little") + 8 != len(footer):
            raise RuntimeError("Arrow wrote pages when the table was closed; its identity lacks them")
        self._file.write(sign_footer(footer))


def _describe(schema: pa.Schema) -> list[list[Any]]:
    return [[field.name, str(field.type), field.nullable] for field in schema]


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
    """Whether a table has exactly these columns, of these types.

    Raises:
        DataError: as `read_table`.
    """
    with open_table(path) as (file, _):
        return [(field.name, field.type) for field in file.schema_arrow] == [(f.name, f.type) for f in schema]


class RowReader:
    """Reads single rows of a table in ascending order, with one row group in memory."""

    def __init__(self, path: Path | str, schema: pa.Schema) -> None:
        self._groups = iterate_groups(path, schema, schema.names)
        self._begin, self._end = 0, 0
        self._table: pa.Table = schema.empty_table()

    def read_row(self, number: int) -> pa.Table:
        """A table of one row; `number` must not be below that of the last call.

        Raises:
            DataError: as `read_table`.
        """
        while number >= self._end:
            self._table = next(self._groups)
            self._begin, self._end = self._end, self._end + self._table.num_rows
        return self._table.slice(number - self._begin, 1)

    def close(self) -> None:
        """Close the file."""
        self._groups.close()


def read_provenance(path: Path | str) -> dict[str, str]:
    """Provenance of a table: what `write_table` was given.

    Raises:
        DataError: as `read_table`.
    """
    return dict(state_table(path).provenance)


def state_table(path: Path | str) -> Statement:
    """What a table states of itself: `read_statement`, with the errors of `read_table`."""
    with _explained(path):
        return read_statement(path)


def iterate_chunks(path: Path | str, wanted: Sequence[int], size: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows `wanted` (ascending numbers) in chunks of `size`, reading only their row groups.

    Raises:
        DataError: as `read_table`.
    """
    with open_table(path) as (file, _):
        starts = [0]
        for group in range(file.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
        for begin in range(0, len(wanted), size):
            rows = wanted[begin : begin + size]
            groups = [g for g in range(file.num_row_groups) if starts[g] <= rows[-1] and starts[g + 1] > rows[0]]
            table = file.read_row_groups(groups, columns=list(columns))
            yield table.take(pa.array([row - starts[groups[0]] for row in rows], pa.int64()))


def _layout(schema: pa.Schema) -> dict[str, Any]:
    return {
        "compression": "none" if _is_heavy(schema) else "zstd",
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_page_checksum": True,
    }


def _is_heavy(schema: pa.Schema) -> bool:
    return any(_holds_bytes(field.type) for field in schema)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_binary(kind)
