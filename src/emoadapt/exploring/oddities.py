"""Sentences on what is odd about a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from emoadapt.errors import show
from emoadapt.exploring.counts import LabelCount, Matrix, StatusCount
from emoadapt.listing.names import note_case_twins
from emoadapt.schema import UNREADABLE
from emoadapt.storage.frames import read_frame

FEW = 10
"""Clips below which a label is called rare."""
MUCH = 0.5
"""Share of a label's clips from which one speaker is named."""


def list_oddities(
    clips: pl.DataFrame, labels: Sequence[LabelCount], matrix: Matrix | None, statuses: Sequence[StatusCount]
) -> list[str]:
    """One sentence each on labels, speakers, media and rows; what a model could learn in place of emotions comes first."""
    found = [
        *_judge_dominance(clips, labels, matrix),
        *_judge_labels(clips, labels),
        *([] if matrix is None else _judge_holes(matrix)),
    ]
    for one in statuses:
        if one.failed:
            found.append(f"{one.failed:,} clips could not be read, or not be worked on, by {one.feature}.")
    return found + _judge_single(clips)


def list_copies(manifests: Sequence[Path], media: pl.Series) -> list[str]:
    """A sentence if files of different names have the same content, by the fingerprints of the last run.

    Args:
        manifests: MANIFEST shards; none where the corpus was never run.
        media: files of the corpus as it is now; others are not counted.

    Raises:
        DataError: a manifest is damaged or of another version.
    """
    if not manifests:
        return []
    known = read_frame(manifests, columns=["media", "fingerprint"]).filter(
        pl.col("fingerprint") != UNREADABLE, pl.col("media").cast(pl.String).is_in(media.implode())
    )
    groups = known.group_by("fingerprint").agg(pl.col("media").unique().sort())
    copies = groups.filter(pl.col("media").list.len() > 1).sort(pl.col("media").list.first())["media"].to_list()
    if not copies:
        return []
    named = show((" = ".join(group) for group in copies), 3)
    return [f"{sum(map(len, copies)):,} files have the same content as another one: {named}."]


def _judge_labels(clips: pl.DataFrame, labels: Sequence[LabelCount]) -> list[str]:
    if not labels:
        return ["No clip has a label."] if clips["arousal"].null_count() == clips.height else []
    found = [
        f"{note[:1].upper()}{note[1:]}. The counts of this page are of labels as they are written, before any class_map."
        for note in note_case_twins("labels", clips["label"].to_list())
    ]
    if without := clips["label"].null_count():
        found.append(f"{without:,} of {clips.height:,} clips have no label.")
    if rare := [f"{one.label} ({one.clips})" for one in labels if one.clips < FEW]:
        found.append(f"Labels with fewer than {FEW} clips: {show(rare)}.")
    return found + (_judge_sexes(labels) if clips["sex"].drop_nulls().n_unique() > 1 else [])


def _judge_sexes(labels: Sequence[LabelCount]) -> list[str]:
    """Sentences on labels of which all speakers of known sex are women, or all are men."""
    women = [one.label for one in labels if one.female and not one.male]
    men = [one.label for one in labels if one.male and not one.female]
    named = (("women", women), ("men", men))
    return [
        f"Only {who} speak with the label{'' if len(names) == 1 else 's'} {show(names)}."
        for who, names in named
        if names
    ]


def _judge_holes(matrix: Matrix) -> list[str]:
    """A sentence on speakers that lack labels."""
    if matrix.speakers < 2 or not matrix.incomplete:
        return []
    return [
        f"{matrix.incomplete:,} of {matrix.speakers:,} speakers lack at least one label; {matrix.holes:,} of "
        f"{matrix.speakers * len(matrix.labels):,} pairs of speaker and label have no clip."
    ]


def _judge_dominance(clips: pl.DataFrame, labels: Sequence[LabelCount], matrix: Matrix | None) -> list[str]:
    """A sentence on labels that are mostly of one speaker."""
    if matrix is None or matrix.speakers < 2:
        return []
    shares = (
        clips.filter(pl.col("label").is_not_null() & pl.col("speaker").is_not_null())
        .group_by(pl.col("label").cast(pl.String), pl.col("speaker").cast(pl.String))
        .len()
        .sort("len", "speaker", descending=[True, False])
    )
    totals = {one.label: one.clips for one in labels}
    many = [row for row in shares.iter_rows() if row[2] >= MUCH * totals[row[0]] and totals[row[0]] >= FEW]
    named = [f"{n:,} of {totals[label]:,} of {label} ({speaker})" for label, speaker, n in many]
    return [f"One speaker has half or more of a label's clips: {show(named)}."] if many else []


def _judge_single(clips: pl.DataFrame) -> list[str]:
    """Sentences on speakers with a single clip."""
    counts = clips["speaker"].drop_nulls().value_counts()
    single = counts.filter(pl.col("count") == 1).height
    if not single or counts.height < 2:
        return []
    return [f"{single:,} of {counts.height:,} speakers have a single clip."]
