"""Partitions of a study's tasks, with the speakers of each part."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import EmoadaptError
from emoadapt.study.check.listings import Listings
from emoadapt.tasks.divisions import PARTS, UNLABELLED, describe_fold
from emoadapt.tasks.splits import build_task

if TYPE_CHECKING:
    from emoadapt.config import Study


def describe_partitions(study: Study, missing: Collection[str] = ()) -> Iterator[str]:
    """Describe each part of each fold and partition of the tasks: clips, official parts, speakers.

    Args:
        study: the configuration.
        missing: corpora that are not on this machine; their tasks have one line that says so.
    """
    listings = Listings(study)
    for name, task in study.tasks.items():
        corpora = task.corpora
        if lacking := [corpus for corpus in corpora if corpus in missing]:
            yield f"task {name}: unknown, needs corpus {', '.join(lacking)}"
            continue
        count, own = study.count_partitions(name), task.partitions
        same = f"; {task.corpus} is divided alike in all of them" if count > own else ""
        yield f"task {name}: {count} partition{'s' if count > 1 else ''}{same}"
        try:
            manifests = {corpus: listings.read_manifest(corpus) for corpus in corpora}
            labels = {corpus: listings.read_labels(corpus) for corpus in corpora}
            splits = build_task(name, task, manifests, labels, study.list_tested_tasks(name))
        except EmoadaptError as error:
            yield f"  {error}"
            continue
        official = pl.concat(frame.select("utterance_id", part="split") for frame in manifests.values())
        rows = splits.join(official, on="utterance_id", how="left")
        divisions = rows.partition_by("partition", "fold", as_dict=True, maintain_order=True)
        for (partition, fold), division in divisions.items():
            where = f"partition {partition}" + (
                f", {describe_fold(0, int(fold))}" if rows["fold"].n_unique() > 1 else ""
            )
            for part in (*PARTS, UNLABELLED):
                for corpus in corpora[1 if partition and count > own else 0 :]:
                    if len(chosen := division.filter(split=part, corpus=corpus)):
                        yield f"  {where}, {part}{'' if corpus == task.corpus else f' of {corpus}'}: {_describe_part(chosen)}"


def _describe_part(rows: pl.DataFrame) -> str:
    """`12 clips of session5 by 2 speakers: F05, M05`."""
    parts, speakers = (sorted(rows[column].drop_nulls().unique()) for column in ("part", "speaker"))
    of = f" of {', '.join(parts)}" if parts else ""
    unknown = rows["speaker"].null_count()
    who = f"{len(speakers)} speaker{'s' if len(speakers) != 1 else ''}: {', '.join(speakers)}" if speakers else ""
    without = f"{unknown:,} without a known speaker" if unknown else ""
    return f"{len(rows):,} clips{of} by {'; '.join(filter(None, (who, without)))}"
