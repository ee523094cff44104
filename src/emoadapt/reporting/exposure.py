"""What of a test set was there before the test: in Stage 1, in training, in development."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.corpora.overlap import CLIP_COLUMNS, find_shared_clips
from emoadapt.flow.store import read_table

_ANYBODYS = ("csv", "folder")
"""Importers whose speaker names mean somebody only within one folder."""

_TESTED = ("task", "test_corpus", "test_clips", "seen_clips", "test_speakers", "seen_speakers")


def read_clips(study: Study, manifests: Sequence[Path]) -> pl.DataFrame:
    """Every clip with its recording and its person.

    Args:
        study: the configuration.
        manifests: manifest shards `<corpus>/<shard>.parquet`.

    Returns:
        Columns `utterance_id`, `fingerprint`, `start`, `end` and `person`: equal for the same speaker of a corpus that
        is configured more than once, null where the speaker is unknown.
    """
    columns = ["utterance_id", *CLIP_COLUMNS, "speaker"]
    corpora: dict[str, list[Path]] = {}
    for path in manifests:
        corpora.setdefault(path.parent.name, []).append(path)
    frames = [
        _read(paths, schema.MANIFEST, columns).select(
            *columns[:-1], person=pl.lit(f"{_population(study, corpus)}/") + pl.col("speaker")
        )
        for corpus, paths in sorted(corpora.items())
    ]
    empty = pl.DataFrame(schema.MANIFEST.empty_table()).select(*columns[:-1], person=pl.lit("") + pl.col("speaker"))
    return pl.concat([empty, *frames])


def count_shared(splits: pl.DataFrame, clips: pl.DataFrame) -> dict[tuple[str, int, str], tuple[int, int]]:
    """(corpus, fold, split) -> its clips, and its speakers, that are also in another split of the fold.

    Args:
        splits: SPLITS rows of a task.
        clips: as from `read_clips`.
    """
    shared = {}
    for (fold,), rows in splits.join(clips, on="utterance_id", how="left").partition_by("fold", as_dict=True).items():
        for (corpus, split), part in rows.partition_by("corpus", "split", as_dict=True).items():
            others = rows.filter(pl.col("split") != split)
            people = set(part["person"].drop_nulls()) & set(others["person"].drop_nulls())
            shared[corpus, fold, split] = (len(find_shared_clips(part, others)), len(people))
    return cast(dict[tuple[str, int, str], tuple[int, int]], shared)


def build_stage1(
    study: Study, splits: Mapping[str, pl.DataFrame], clips: pl.DataFrame, parts: Mapping[str, Path]
) -> pl.DataFrame:
    """One row per adaptation and test set: how much Stage 1 heard, and what of the test set was in it.

    Args:
        study: the configuration.
        splits: task -> its SPLITS rows.
        clips: as from `read_clips`.
        parts: adaptation -> PARTS table. Its held-out clips count as heard: they choose the checkpoint.

    Returns:
        `clips_of_unknown`: Stage-1 clips whose speaker is unknown, among whom a test speaker would not be found;
        `seen_clips`, `seen_speakers`: of the test set (speakers null where those of the test set are unknown).
    """
    rows: list[dict[str, Any]] = []
    for adaptation, path in parts.items():
        part = _read([path], schema.PARTS)
        heard = part.select("utterance_id", "part").join(clips, on="utterance_id", how="left")
        base = {
            "adaptation": adaptation,
            "corpora": ", ".join(study.adaptations[adaptation].corpora),
            "clips": part.height,
            "held_out": part.filter(part="held_out").height,
            "speakers": heard["person"].drop_nulls().n_unique(),
            "clips_of_unknown": heard["person"].null_count(),
        }
        tested = [
            {**base, "task": task, "test_corpus": corpus, **_count_seen(test, heard)}
            for task, frame in splits.items()
            for (corpus,), test in frame.filter(split="test")
            .join(clips, on="utterance_id", how="left")
            .unique("utterance_id")
            .partition_by("corpus", as_dict=True)
            .items()
        ]
        rows += sorted(tested, key=lambda row: (row["task"], row["test_corpus"])) or [
            {**base, **dict.fromkeys(_TESTED)}
        ]
    texts = ("adaptation", "corpora", "task", "test_corpus")
    order = ("adaptation", "corpora", "clips", "held_out", "speakers", "clips_of_unknown", *_TESTED)
    return pl.DataFrame(rows, schema={name: pl.String if name in texts else pl.Int64 for name in order})


def _count_seen(test: pl.DataFrame, heard: pl.DataFrame) -> dict[str, int | None]:
    shared = find_shared_clips(test, heard) | (set(test["utterance_id"]) & set(heard["utterance_id"]))
    people = set(test["person"].drop_nulls())
    known = people & set(heard["person"].drop_nulls())
    known |= set(test.filter(pl.col("utterance_id").is_in(list(shared)))["person"].drop_nulls())
    return {
        "test_clips": test.height,
        "seen_clips": len(shared),
        "test_speakers": len(people) or None,
        "seen_speakers": len(known) if people else None,
    }


def _population(study: Study, corpus: str) -> str:
    """Whose speakers these are: an importer of one published corpus names the same people wherever it lies."""
    config = study.corpora[corpus]
    return str(Path(config.root).resolve()) if config.importer in _ANYBODYS else config.importer


def _read(paths: Sequence[Path], kind: Any, columns: Sequence[str] | None = None) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(read_table(paths, kind, columns)))
