"""Computation of a feature's shard: only new rows, resumable after a kill.

Beside a shard `NNN.parquet` lies `.rows/NNN.parquet`, a hard link to its last complete version, and while a
job runs `.rows/NNN.<k>.<token>.parquet`, the rows that it has finished. Snakemake deletes the output of a job that is
to run again; these stay, so a row is computed once for each (input, parameters, code, model), whatever is
killed in between.

Memory follows neither the number of clips nor that of row groups: finished rows go to disk when there are `SAVED_BYTES` of
them, and are merged a group at a time. Rows whose worker process crashed or stalled (see `emoadapt.extraction.workers`) are
the exception to reuse: they are computed again whenever their job runs again.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow.upstream import Recipe, Row, join_rows, key_row, list_head_columns, list_own_columns, make_heads
from emoadapt.machine.progress import Progress
from emoadapt.storage.agreement import refuse_other_rows
from emoadapt.storage.files import link_or_copy, remove_parts, replacing
from emoadapt.storage.footers import Damaged
from emoadapt.storage.tables import (
    ROWS_PER_GROUP,
    Missing,
    RowReader,
    iterate_chunks,
    read_table,
    same_columns,
    write_batches,
    write_table,
)  # fmt: skip

if TYPE_CHECKING:
    from emoadapt.features.base import Extraction

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 20.0
"""How often finished rows are put on disk, and a line into the log."""
SAVED_BYTES = 4 << 20
"""Finished rows of so much content are put on disk at once, however little time has passed; also what a row group holds at most."""
PASSING = ("crashed", "stalled")
"""Codes of failures that may be the run's and not the clip's."""


@dataclass(frozen=True)
class Counts:
    """What became of a shard's rows."""

    computed: int
    reused: int
    skipped: int


def compute_shard(
    output: Path,
    upstream: Mapping[str, Path],
    extraction: Extraction,
    extract: Callable[[Iterator[list[Row]]], Generator[tuple[Row, Row]]],
    recipe: Recipe,
    root: Path | None = None,
) -> Counts:
    """Bring one shard up to date.

    Args:
        output: the feature table to write.
        upstream: table name (`manifest` or a feature) -> its shard with the same utterances.
        extraction: gives table, inputs and chunk size.
        extract: chunks of rows -> each row with its result, in the same order; only called when a row must be computed,
            since models are slow to load.
        recipe: what else decides a row.
        root: corpus root, for extractors that read media.

    Raises:
        DataError: an upstream table cannot be read, or two do not have the same rows.
    """
    refuse_other_rows(*(upstream[name] for name in extraction.inputs))
    heads = _read_heads(upstream, extraction)
    keys = {row["utterance_id"]: key_row(row, recipe, extraction.table) for row in heads}
    saved = _SavedRows(output, extraction.table)
    saved.keep(keys)
    blocked = {row["utterance_id"]: row["blocked"] for row in heads if row["blocked"]}
    todo = [i for i, row in enumerate(heads) if row["utterance_id"] not in saved.ids and not row["blocked"]]
    logger.info("%s: %d rows to compute, %d reused, %d skipped", output, len(todo), len(saved.ids), len(blocked))
    if todo:
        with (
            Progress(str(output), len(todo)) as progress,
            closing(extract(_join_chunks(upstream, extraction, todo, root))) as results,
        ):
            _compute_rows(results, keys, saved, progress)
    rows = [
        {"utterance_id": name, "key": keys[name], "status": status, "reason": reason}
        for name, (status, reason) in blocked.items()
    ]
    merged = saved.merge(pa.Table.from_pylist(rows, schema=extraction.table))
    write_batches(output, merged, extraction.table, recipe.provenance())
    saved.replace(output)
    return Counts(len(todo), len(keys) - len(todo) - len(blocked), len(blocked))


def _compute_rows(
    results: Iterator[tuple[Row, Row]], keys: dict[str, str], saved: _SavedRows, progress: Progress
) -> None:
    done: list[Row] = []
    size, last = 0, time.monotonic()
    for row, result in results:
        name = row["utterance_id"]
        done.append(_check_reason({"utterance_id": name, "key": keys[name], "status": "ok", **result}))
        size += _count_bytes(result)
        progress.add(done[-1], _media_seconds(row, result))
        late = time.monotonic() - last > SECONDS_BETWEEN_SAVES
        if late:
            progress.report()
        if late or size > SAVED_BYTES:
            saved.add(done)
            done, size = [], 0
        if late:
            last = time.monotonic()
    if done:
        saved.add(done)


def _check_reason(row: Row) -> Row:
    """A row as the contract has it: a reason is null or says something, and one that is not ok has one."""
    reason = row.get("reason")
    if reason == "" or (reason is None and row["status"] != "ok"):
        raise ValueError(f"{row['utterance_id']} is {row['status']} without a reason")
    return row


def _count_bytes(value: Any) -> int:
    """About how much memory a result takes."""
    if isinstance(value, dict):
        return sum(map(_count_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        # Long lists are of one kind, mostly numbers.
        return len(value) * 8 if value and isinstance(value[0], (int, float)) else sum(map(_count_bytes, value))
    return len(value) if isinstance(value, (bytes, str)) else getattr(value, "nbytes", 8)


def _media_seconds(row: Row, result: Row) -> float:
    """Length of a clip in s, as far as its row or its result tells; else 0."""
    samples = result.get("n_samples") or row.get("n_samples")
    if samples:
        return float(samples / schema.SAMPLE_RATE)
    start = row.get("start") or 0.0
    if row.get("end") is not None:
        return float(row["end"] - start)
    # Up to the last face: a little less than the clip, but it needs no second look at the file.
    shown = result.get("frame_seconds")
    return float(shown[-1] - start) if shown else 0.0


class _SavedRows:
    """Finished rows of a shard on disk, kept out of Snakemake's sight; each file is sorted by utterance id."""

    def __init__(self, output: Path, table: pa.Schema) -> None:
        self.folder = output.parent / ".rows"
        self.stem = output.stem
        self.table = table
        self.wanted: dict[str, str] = {}
        self.ids: set[str] = set()

    def keep(self, keys: dict[str, str]) -> None:
        """Say which (utterance, key) pairs are of use; the others are forgotten, and so are passing failures."""
        self.wanted = keys
        codes = {name: code for path in self._files() for name, _, code in self._find_rows(path)}
        self.ids = {name for name, code in codes.items() if code not in PASSING}

    def add(self, rows: list[Row]) -> None:
        """Put finished rows on disk, under a name that no other job chooses."""
        last = max(map(_file_number, self._files()), default=0)
        path = self.folder / f"{self.stem}.{last + 1}.{secrets.token_hex(6)}.parquet"
        write_table(path, rows, self.table)
        _give_memory_back()

    def merge(self, others: pa.Table) -> Iterator[pa.Table]:
        """All rows of use and others, each once, sorted by utterance id, a row group at a time.

        Only a row group of the files at hand is in memory, however large the shard.

        Raises:
            DataError: there are other rows than those that are wanted, since files of this job are gone.
        """
        files = self._files()
        where = {name: (number, row) for number, path in enumerate(files) for name, row, _ in self._find_rows(path)}
        where |= {name: (-1, row) for row, name in enumerate(others.column("utterance_id").to_pylist())}
        self._refuse_others(where.keys())
        batch: list[pa.Table] = []
        size = 0
        with _Readers(files, self.table, Counter(number for number, _ in where.values())) as readers:
            for name in sorted(where):
                number, row = where[name]
                batch.append(others.slice(row, 1) if number < 0 else readers.read_row(number, row))
                size += batch[-1].nbytes
                if len(batch) == ROWS_PER_GROUP or size > SAVED_BYTES:
                    yield pa.concat_tables(batch)
                    batch, size = [], 0
                    _give_memory_back()
        if batch:
            yield pa.concat_tables(batch)

    def _refuse_others(self, found: Set[str]) -> None:
        if odd := sorted(found ^ self.wanted.keys()):
            raise DataError(
                f"{self.folder} lacks {len(odd):,} of the {len(self.wanted):,} rows of shard {self.stem}, such as {odd[0]}: "
                "another job may be writing this shard; wait until it ends, and run the same command again"
            )

    def replace(self, output: Path) -> None:
        """Make the complete shard what is kept, by a hard link where the file system has them."""
        old = self._files()
        kept = self.folder / f"{self.stem}.parquet"
        with replacing(kept) as part:
            link_or_copy(output, part)
        for path in old:
            if path != kept:
                path.unlink(missing_ok=True)
        remove_parts(self.folder, self.stem)

    def _files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob(f"{self.stem}.*parquet"), key=lambda path: (_file_number(path), path.name))

    def _find_rows(self, path: Path) -> list[tuple[str, int, str]]:
        """(utterance, row number, code of its reason) of a file's rows whose key is still wanted.

        None of a file whose columns are others, that another job has taken away since it was listed, or that cannot be read,
        which is deleted.
        """
        try:
            if not same_columns(path, self.table):
                return []
            rows = read_table(path, columns=["utterance_id", "key", "reason"]).to_pylist()
        except Missing:
            return []
        except Damaged as error:
            logger.warning(
                "%s was damaged, and is deleted: rows that only it held are computed again (%s)", path, error
            )
            path.unlink(missing_ok=True)
            return []
        return [
            (row["utterance_id"], number, (row["reason"] or "").partition(":")[0])
            for number, row in enumerate(rows)
            if self.wanted.get(row["utterance_id"]) == row["key"] and not (row["reason"] or "").startswith("upstream ")
        ]


def _give_memory_back() -> None:
    """Arrow's allocator keeps several times what is in use."""
    pa.default_memory_pool().release_unused()


def _file_number(path: Path) -> int:
    """0 for a complete shard, k for the k-th file of rows that a job finished after it."""
    return int(path.suffixes[0][1:]) if len(path.suffixes) > 1 else 0


class _Readers:
    """Reads rows of several files, each in ascending order; a file is open from its first row to its last."""

    def __init__(self, files: list[Path], table: pa.Schema, left: Counter[int]) -> None:
        self._files, self._table, self._left = files, table, left
        self._open: dict[int, RowReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for reader in self._open.values():
            reader.close()

    def read_row(self, number: int, row: int) -> pa.Table:
        """A table of one row; `left` says how often each file is asked.

        Raises:
            DataError: its file is gone, or is damaged and deleted now.
        """
        path = self._files[number]
        try:
            if number not in self._open:
                self._open[number] = RowReader(path, self._table)
            found = self._open[number].read_row(row)
        except Missing:
            raise DataError(f"another job removed {path}; wait until it ends, and run the same command again") from None
        except Damaged as error:
            path.unlink(missing_ok=True)
            raise DataError(f"{path} was damaged and has been deleted; run the same command again ({error})") from None
        self._left[number] -= 1
        if not self._left[number]:
            self._open.pop(number).close()
        return found


def _read_heads(upstream: Mapping[str, Path], extraction: Extraction) -> list[Row]:
    tables = [
        read_table(upstream[name], columns=list_head_columns(name, extraction)).to_pylist()
        for name in extraction.inputs
    ]
    return make_heads(extraction, tables)


def _join_chunks(
    upstream: Mapping[str, Path], extraction: Extraction, todo: list[int], root: Path | None
) -> Iterator[list[Row]]:
    """Rows to compute, in chunks, as `join_rows` makes them."""
    streams = [
        iterate_chunks(upstream[name], todo, extraction.chunk_size, list_own_columns(name))
        for name in extraction.inputs
    ]
    for tables in zip(*streams, strict=True):
        yield join_rows(extraction, [table.to_pylist() for table in tables], root)
