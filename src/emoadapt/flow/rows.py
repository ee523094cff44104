"""Computing one shard of one feature: only the rows that are new, and nothing lost when the job is killed.

Beside a shard `NNN.parquet` lies `.rows/NNN.parquet`, a hard link to its last complete version, and while a
job runs `.rows/NNN.<k>.parquet`, the rows that it has finished. Snakemake deletes the output of a job that is
to run again; these stay, so a row is computed once for each (input, parameters, code, model), whatever is
killed in between.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow.code import digest
from emoadapt.flow.provenance import library_versions
from emoadapt.flow.store import (
    ROWS_PER_GROUP,
    RowReader,
    iterate_chunks,
    read_table,
    same_columns,
    write_batches,
    write_table,
)  # fmt: skip

if TYPE_CHECKING:
    from emoadapt.features.base import Extractor

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 20.0
"""How often finished rows are put on disk."""


@dataclass(frozen=True)
class Recipe:
    """What decides a row besides its input: parameters, code digest, model identity, versions of its libraries."""

    feature: str
    parameters: str
    code: str
    model: str = ""
    libraries: str = ""

    def provenance(self) -> dict[str, str]:
        """The recipe and the versions of the libraries at work, for the file's metadata."""
        return {
            "feature": self.feature,
            "parameters": self.parameters,
            "code": self.code,
            "model": self.model,
            "libraries": self.libraries,
            **library_versions(),
        }


@dataclass(frozen=True)
class Counts:
    """What became of a shard's rows."""

    computed: int
    reused: int
    skipped: int


def compute_shard(
    output: Path,
    upstream: Mapping[str, Path],
    extractor_class: type[Extractor],
    build: Callable[[], Extractor],
    recipe: Recipe,
    root: Path | None = None,
) -> Counts:
    """Bring one shard up to date.

    Args:
        output: the feature table to write.
        upstream: table name (`manifest` or a feature) -> its shard with the same utterances.
        extractor_class: gives table, inputs and chunk size.
        build: makes the extractor; only called when a row must be computed, since models are slow to load.
        recipe: what else decides a row.
        root: corpus root, for extractors that read media.
    """
    heads = _read_heads(upstream, extractor_class)
    keys = {row["utterance_id"]: _row_key(row, recipe, extractor_class.table) for row in heads}
    saved = _SavedRows(output, extractor_class.table)
    saved.keep(keys)
    blocked = {row["utterance_id"]: row["blocked"] for row in heads if row["blocked"]}
    todo = [i for i, row in enumerate(heads) if row["utterance_id"] not in saved.ids and not row["blocked"]]
    logger.info("%s: %d rows to compute, %d reused, %d skipped", output, len(todo), len(saved.ids), len(blocked))
    if todo:
        extractor = build()
        chunks = _join_chunks(upstream, extractor_class, todo, root)
        _compute_rows(chunks, extractor, keys, saved, len(todo))
    rows = [
        {"utterance_id": name, "key": keys[name], "status": status, "reason": reason}
        for name, (status, reason) in blocked.items()
    ]
    merged = saved.merge(pa.Table.from_pylist(rows, schema=extractor_class.table))
    write_batches(output, merged, extractor_class.table, recipe.provenance())
    saved.replace(output)
    return Counts(len(todo), len(keys) - len(todo) - len(blocked), len(blocked))


def _compute_rows(
    chunks: Iterator[list[dict[str, Any]]], extractor: Extractor, keys: dict[str, str], saved: _SavedRows, total: int
) -> None:
    done, begun, last = [], time.monotonic(), time.monotonic()
    count = 0
    for rows in chunks:
        for row, result in zip(rows, extractor.extract(rows), strict=True):
            name = row["utterance_id"]
            done.append({"utterance_id": name, "key": keys[name], "status": "ok", **result})
        count += len(rows)
        if time.monotonic() - last > SECONDS_BETWEEN_SAVES:
            saved.add(done)
            done, last = [], time.monotonic()
            rate = count / (last - begun)
            logger.info("%d of %d rows, %.2f rows/s, about %.0f s left", count, total, rate, (total - count) / rate)
    if done:
        saved.add(done)


class _SavedRows:
    """Finished rows of a shard on disk, kept out of Snakemake's sight; each file is sorted by utterance id."""

    def __init__(self, output: Path, table: pa.Schema) -> None:
        self.folder = output.parent / ".rows"
        self.stem = output.stem
        self.table = table
        self.wanted: dict[str, str] = {}
        self.ids: set[str] = set()

    def keep(self, keys: dict[str, str]) -> None:
        """Say which (utterance, key) pairs are of use; the others are forgotten."""
        self.wanted = keys
        self.ids = {name for path in self._files() for name, _ in self._find_rows(path)}

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Put finished rows on disk."""
        numbers = [int(path.suffixes[-2][1:]) for path in self._files() if len(path.suffixes) > 1]
        write_table(self.folder / f"{self.stem}.{max(numbers, default=0) + 1}.parquet", rows, self.table)

    def merge(self, others: pa.Table) -> Iterator[pa.Table]:
        """All rows of use and others, each once, sorted by utterance id, a row group at a time.

        Only a row group of each file is in memory, however large the shard.
        """
        files = self._files()
        where = {name: (-1, row) for row, name in enumerate(others.column("utterance_id").to_pylist())}
        for number, path in enumerate(files):
            for name, row in self._find_rows(path):
                where.setdefault(name, (number, row))
        readers = {number: RowReader(path, self.table) for number, path in enumerate(files)}
        try:
            batch: list[pa.Table] = []
            for name in sorted(where):
                number, row = where[name]
                batch.append(others.slice(row, 1) if number < 0 else readers[number].read_row(row))
                if len(batch) == ROWS_PER_GROUP:
                    yield pa.concat_tables(batch)
                    batch = []
            if batch:
                yield pa.concat_tables(batch)
        finally:
            for reader in readers.values():
                reader.close()

    def replace(self, output: Path) -> None:
        """Make the complete shard what is kept, by a hard link where the file system has them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        old = self._files()
        part = self.folder / f".{self.stem}.{os.getpid()}.part"
        part.unlink(missing_ok=True)
        try:
            os.link(output, part)
        except OSError:
            shutil.copyfile(output, part)
        kept = self.folder / f"{self.stem}.parquet"
        part.replace(kept)
        for path in old:
            if path != kept:
                path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stem}.*parquet"))

    def _find_rows(self, path: Path) -> list[tuple[str, int]]:
        """(utterance, row number) of a file's rows whose key is still wanted; none if its columns are others."""
        if not same_columns(path, self.table):
            return []
        rows = read_table(path, columns=["utterance_id", "key", "reason"]).to_pylist()
        return [
            (row["utterance_id"], number)
            for number, row in enumerate(rows)
            if self.wanted.get(row["utterance_id"]) == row["key"] and not (row["reason"] or "").startswith("upstream ")
        ]


def _read_heads(upstream: Mapping[str, Path], extractor: type[Extractor]) -> list[dict[str, Any]]:
    """Per utterance what its key is made of, and `blocked` = (status, reason) if an upstream row is not ok."""
    heads: list[dict[str, Any]] = []
    for position, name in enumerate(extractor.inputs):
        if name == "manifest":
            columns = ["utterance_id", "fingerprint", "start", "end", *extractor.manifest_columns]
        else:
            columns = ["utterance_id", "key", "status", "reason"]
        rows = read_table(upstream[name], columns=columns).to_pylist()
        if position == 0:
            heads = [{"utterance_id": row["utterance_id"], "inputs": [], "blocked": None} for row in rows]
        for head, row in zip(heads, rows, strict=True):
            if row["utterance_id"] != head["utterance_id"]:
                raise ValueError(f"{upstream[name]} does not hold the utterances of {upstream[extractor.inputs[0]]}")
            head["inputs"] += [row[column] for column in columns if column not in ("utterance_id", "status", "reason")]
            if row.get("status", "ok") != "ok" and not head["blocked"]:
                reason = row["reason"].removeprefix("upstream ")
                head["blocked"] = (
                    row["status"],
                    f"upstream {reason}" if reason != row["reason"] else f"upstream {name}: {reason}",
                )
    return heads


def _row_key(head: dict[str, Any], recipe: Recipe, table: pa.Schema) -> str:
    columns = [(field.name, str(field.type)) for field in table]
    return digest(head["inputs"], astuple(recipe), columns, schema.SAMPLE_RATE)


def _join_chunks(
    upstream: Mapping[str, Path], extractor: type[Extractor], todo: list[int], root: Path | None
) -> Iterator[list[dict[str, Any]]]:
    """Rows to compute, in chunks, with the columns of all upstream tables."""
    streams = []
    for name in extractor.inputs:
        columns = schema.MANIFEST.names if name == "manifest" else schema.FEATURES[name].names
        own = [column for column in columns if column not in ("key", "status", "reason")]
        streams.append(iterate_chunks(upstream[name], todo, extractor.chunk_size, own))
    for tables in zip(*streams, strict=True):
        rows = [dict(row) for row in tables[0].to_pylist()]
        for table in tables[1:]:
            for row, more in zip(rows, table.to_pylist(), strict=True):
                row |= {name: value for name, value in more.items() if name not in row}
        if "manifest" in extractor.inputs and root is not None:
            for row in rows:
                row["path"] = _find_media(root, row)
        yield rows


def _find_media(root: Path, row: dict[str, Any]) -> Path:
    """Path of a clip's media.

    Raises:
        DataError: it was there when the corpus was listed and is not now, which is no fault of the clip.
    """
    path = root / row["media"]
    if row["fingerprint"] != schema.UNREADABLE and not path.exists():
        raise DataError(
            f"{path} was there when its corpus was listed and is gone; bring it back, or run again without it"
        )
    return path
