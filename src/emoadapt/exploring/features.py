"""Computed features of a corpus: their rows, with status and reason."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import DataError, EmoadaptError
from emoadapt.exploring.clips import CLIP, ID
from emoadapt.plugins import list_plugins
from emoadapt.storage.frames import to_frame
from emoadapt.storage.notes import SEPARATOR
from emoadapt.storage.tables import iterate_chunks, open_table, read_table

if TYPE_CHECKING:
    import pyarrow as pa

    from emoadapt.config import Study

STATUSES = ("ok", "absent", "failed")
_STATUS = pl.Enum(STATUSES)
_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    CLIP: pl.UInt32,
    "status": _STATUS,
    "reason": pl.String,
    "shard": pl.UInt16,
    "row": pl.UInt32,
}


@dataclass(frozen=True)
class Feature:
    """Rows of one feature.

    Args:
        name: the feature.
        paths: its shards.
        rows: `clip`, `status`, `reason`, `shard` (place in `paths`), `row` (place in the shard) and further short columns, of the
            clips that the corpus has now, in their order.
        strangers: number of rows of clips that the corpus no longer has.
    """

    name: str
    paths: Sequence[Path]
    rows: pl.DataFrame
    strangers: int = 0

    def usable(self) -> pl.DataFrame:
        """The rows whose status is ok."""
        return self.rows.filter(status="ok")


def find_tables(study: Study, corpus: str, results: Path) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Find the shards of all features of a corpus that are there.

    Returns:
        Feature -> its shards; feature -> why its tables are not used, one sentence. Tables of other settings or code would be taken
        for results of this study.
    """
    from emoadapt.study.graph import Graph
    from emoadapt.study.origins import Origins

    graph = Graph(study)
    origins, names, refused = Origins(graph), graph.shards(corpus), {}
    found: dict[str, list[Path]] = {}
    for feature in list_plugins("features"):
        paths = [results / "features" / feature / corpus / f"{name}.parquet" for name in names]
        paths = [path for path in paths if path.exists()]
        try:
            origins.refuse_other_settings(paths, results)
        except EmoadaptError as error:
            refused[feature] = str(error)
        else:
            found |= {feature: paths} if paths else {}
    return found, refused


def read_features(tables: dict[str, list[Path]], clips: pl.DataFrame) -> tuple[dict[str, Feature], dict[str, str]]:
    """Read status and reason of all rows.

    Args:
        tables: feature -> its shards.
        clips: from `list_clips`.

    Returns:
        Feature -> its rows; feature -> why it cannot be read.
    """
    found, refused = {}, {}
    for name, paths in tables.items():
        try:
            found[name] = read_feature(name, paths, clips, ["n_samples"] if name == "audio" else [])
        except DataError as error:
            refused[name] = str(error)
    return found, refused


def read_feature(name: str, paths: Sequence[Path], clips: pl.DataFrame, also: Sequence[str] = ()) -> Feature:
    """Read status and reason of one feature, and further short columns.

    Raises:
        DataError: a table is missing, damaged or of another version.
    """
    columns = [ID, "status", "reason", *also]
    for path in paths:
        _refuse_other_columns(path, columns)
    parts = [
        to_frame(read_table(path, columns=columns)).with_columns(
            pl.col("status").cast(_STATUS),
            pl.lit(number, pl.UInt16).alias("shard"),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        )
        for number, path in enumerate(paths)
    ]
    if not parts:
        return Feature(name, paths, pl.DataFrame(schema=_SCHEMA))
    rows = pl.concat(parts)
    known = clips.select(CLIP, ID).join(rows, on=ID, how="inner").drop(ID).sort(CLIP)
    return Feature(name, paths, known, rows.height - known.height)


def list_remarks(features: Iterable[Feature]) -> pl.DataFrame:
    """List problems and notes of rows: `clip`, `feature`, `status` (absent, failed, noted), `code`, `detail`.

    As in the quarantine, a problem is listed in the feature where it arose, and each note of a row that is ok is listed.
    """
    parts = [
        feature.rows.filter(pl.col("reason").is_not_null() & ~pl.col("reason").str.starts_with("upstream "))
        .select(
            CLIP,
            pl.lit(feature.name).alias("feature"),
            pl.when(pl.col("status") == "ok").then(pl.lit("noted")).otherwise(pl.col("status").cast(pl.String)).alias("status"),
            pl.col("reason").str.split(SEPARATOR),
        )
        .explode("reason")
        for feature in features
    ]  # fmt: skip
    if not parts:
        return pl.DataFrame(
            schema={CLIP: pl.UInt32, **dict.fromkeys(("feature", "status", "code", "detail"), pl.String)}
        )
    split = pl.col("reason").str.splitn(":", 2).struct
    return pl.concat(parts).select(
        CLIP,
        "feature",
        "status",
        split.field("field_0").str.strip_chars().alias("code"),
        split.field("field_1").str.strip_chars().fill_null("").alias("detail"),
    )


def read_rows(feature: Feature, clips: Iterable[int], columns: Sequence[str]) -> Iterator[tuple[list[int], pa.Table]]:
    """Read columns of some clips that the feature has: their numbers and a table, a row group in memory at a time.

    Raises:
        DataError: as `read_table`, or a shard lacks a column.
    """
    wanted = feature.rows.filter(pl.col(CLIP).is_in(list(clips))).sort("shard", "row")
    for (shard,), part in wanted.group_by(["shard"], maintain_order=True):
        path = feature.paths[int(str(shard))]
        numbers = dict(part.select("row", CLIP).iter_rows())
        _refuse_other_columns(path, columns)
        starts = _find_groups(path)
        for _, group in groupby(numbers, partial(bisect_right, starts)):
            rows = list(group)
            for table in iterate_chunks(path, rows, len(rows), columns):
                yield [numbers[row] for row in rows], table


def _refuse_other_columns(path: Path, columns: Iterable[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: it lacks one.
    """
    with open_table(path) as (file, _):
        if lacking := [column for column in columns if column not in file.schema_arrow.names]:
            raise DataError(f"{path} has no column {', '.join(lacking)}; delete it and run the study again")


def _find_groups(path: Path) -> list[int]:
    """Number of the first row of each row group."""
    with open_table(path) as (file, _):
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    return [0, *accumulate(sizes)][:-1]
