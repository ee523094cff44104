"""Clips that are in no part of a task, counted by reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from emoadapt.listing.names import describe_counts
from emoadapt.tasks.classes import count_labels
from emoadapt.tasks.divisions import PARTS
from emoadapt.tasks.split_tables import list_partitions, place_utterances, read_split_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emoadapt.config import TableSplit, Task

UNITS = {"official": "part", "speakers": "speaker", "table": "not in"}
"""Kind of split that may leave clips out -> the unit in which it does."""


def describe_left_out(task: Task, manifests: Mapping[str, pl.DataFrame], labels: Mapping[str, pl.DataFrame]) -> str:
    """Count clips that are in no part of a task, by reason; `none` without any.

    Args:
        task: its configuration.
        manifests: corpus -> `schema.MANIFEST` rows.
        labels: corpus -> `schema.LABELS` rows.
    """
    reasons = []
    for corpus in sorted(task.corpora):
        parts = []
        if task.classes:
            counts = count_labels(task, labels[corpus])
            parts += [f"label {describe_counts(counts.outside)}"] if counts.outside else []
            unlabelled = counts.unlabelled
        else:
            unlabelled = labels[corpus].height - _take_labelled(task, labels[corpus]).height
        parts += [f"without a label {unlabelled}"] if unlabelled else []
        if corpus == task.corpus and (unnamed := count_unnamed(task, manifests[corpus], labels[corpus])):
            parts.append(f"{UNITS[task.split.by]} {describe_counts(unnamed)}")
        if parts:
            reasons.append(f"{corpus}: {'; '.join(parts)}")
    return ". ".join(reasons) or "none"


def count_unnamed(task: Task, manifest: pl.DataFrame, labels: pl.DataFrame) -> dict[str, int]:
    """Official part, speaker or table -> its labelled clips that the split leaves out of a partition.

    Args:
        task: its configuration.
        manifest: `schema.MANIFEST` rows of the task's corpus.
        labels: `schema.LABELS` rows of the same.

    Raises:
        CorpusError: the table of a split does not fit the corpus.
    """
    split = task.split
    labelled = manifest.join(_take_labelled(task, labels), on="utterance_id", how="semi")
    if split.by == "table":
        return _count_untabled(split, task.corpus, set(manifest["utterance_id"]), set(labelled["utterance_id"]))
    if split.by == "official":
        column, name = "split", pl.col("split").str.to_lowercase()
    elif split.by == "speakers":
        column, name = "speaker", pl.col("speaker")
    else:
        return {}
    left = [
        labelled.drop_nulls(column).filter(~name.is_in([_fold(word, column) for word in list_named(division)]))
        for division in split.partitions or (split,)
        if division.train is not None
    ]
    whole = pl.concat([labelled.clear(), *left]).unique("utterance_id")
    return dict(whole.group_by(column).len().sort(column).iter_rows())


def list_named(division: object) -> list[str]:
    """Names of speakers or official parts in a division."""
    return [word for part in PARTS for word in getattr(division, part, None) or ()]


def _fold(word: str, column: str) -> str:
    """Official parts are named in any case, speakers are not."""
    return word.lower() if column == "split" else word


def _count_untabled(split: TableSplit, corpus: str, known: set[str], labelled: set[str]) -> dict[str, int]:
    rows, counts = read_split_table(split), {}
    for name in list_partitions(rows):
        placed = place_utterances(split, corpus, [row for row in rows if row.partition == name], known)
        counts[f"{split.file} (partition {name})" if name else split.file] = len(labelled - set(placed))
    return {name: number for name, number in counts.items() if number}


def _take_labelled(task: Task, labels: pl.DataFrame) -> pl.DataFrame:
    """Rows with one of the task's classes, or with a value of one of its attributes."""
    if task.classes:
        return labels.filter(pl.col("label").replace(task.class_map).is_in(task.classes))
    return labels.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in task.attributes))
