"""Counts of a corpus: facts, labels by sex and speaker, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from emoadapt.exploring.clips import CLIP
from emoadapt.exploring.features import STATUSES, Feature

MOST_SPEAKERS, MOST_LABELS = 100, 24
"""Rows and columns of the matrix of speakers and labels."""
UNKNOWN = "unknown"
_EXAMPLES = 3


@dataclass(frozen=True)
class LabelCount:
    """One label: clips, of women, of men, of unknown sex, speakers, and the median length in s (None: not known)."""

    label: str
    clips: int
    female: int
    male: int
    unknown: int
    speakers: int
    seconds: float | None


def count_labels(clips: pl.DataFrame, seconds: pl.DataFrame) -> list[LabelCount]:
    """Count clips by label, the most frequent first; clips without a label are left out.

    Args:
        clips: from `list_clips`.
        seconds: `clip` and `seconds` of the clips whose length is known.
    """
    known = clips.filter(pl.col("label").is_not_null()).join(seconds, on=CLIP, how="left")
    found = known.group_by(pl.col("label").cast(pl.String)).agg(
        pl.len().alias("clips"),
        (pl.col("sex") == "female").sum().alias("female"),
        (pl.col("sex") == "male").sum().alias("male"),
        pl.col("sex").is_null().sum().alias("unknown"),
        pl.col("speaker").drop_nulls().n_unique().alias("speakers"),
        pl.col("seconds").median(),
    )
    return [LabelCount(*row) for row in found.sort("clips", "label", descending=[True, False]).iter_rows()]


@dataclass(frozen=True)
class Matrix:
    """Clips by speaker and label.

    Args:
        labels: columns, the most frequent first.
        rows: (speaker, sex, all clips of the speaker with these labels, count of each label), the speakers with most clips first.
        speakers: number of all speakers with a labelled clip.
        holes: pairs of a speaker and a label without a clip, of all speakers and these labels.
        incomplete: speakers that lack at least one of these labels.
        left_out: labels that are not shown.
    """

    labels: list[str]
    rows: list[tuple[str, str, int, list[int]]]
    speakers: int
    holes: int
    incomplete: int
    left_out: int


def cross_speakers(clips: pl.DataFrame, labels: Sequence[str]) -> Matrix | None:
    """Count clips by speaker and label; None where no labelled clip has a speaker.

    Args:
        clips: from `list_clips`.
        labels: all labels, the most frequent first.
    """
    known = clips.filter(pl.col("speaker").is_not_null() & pl.col("label").is_not_null())
    if known.is_empty():
        return None
    shown = list(labels[:MOST_LABELS])
    counts = known.select(
        pl.col("speaker").cast(pl.String), pl.col("sex").cast(pl.String), pl.col("label").cast(pl.String)
    )
    by_speaker = (
        counts.group_by("speaker")
        .agg(
            pl.col("sex").drop_nulls().unique().sort().str.join(", ").alias("sex"),
            pl.len().alias("clips"),
            *((pl.col("label") == label).sum().alias(f"label {place}") for place, label in enumerate(shown)),
        )
        .sort("clips", "speaker", descending=[True, False])
    )
    lacking = by_speaker.select(pl.sum_horizontal(pl.col("^label .*$") == 0))[:, 0]
    return Matrix(
        shown,
        [(name, sex or "", n, list(rest)) for name, sex, n, *rest in by_speaker.head(MOST_SPEAKERS).iter_rows()],
        by_speaker.height,
        int(lacking.sum()),
        int((lacking > 0).sum()),
        len(labels) - len(shown),
    )


@dataclass(frozen=True)
class StatusCount:
    """Statuses of a feature's rows, and clips without a row."""

    feature: str
    ok: int
    noted: int
    absent: int
    failed: int
    missing: int


def count_statuses(features: Collection[Feature], n_clips: int) -> list[StatusCount]:
    """Count statuses of each feature."""
    found = []
    for feature in features:
        counts = dict(feature.rows["status"].cast(pl.String).value_counts().iter_rows())
        ok, absent, failed = (counts.get(status, 0) for status in STATUSES)
        noted = feature.usable().height - feature.usable()["reason"].null_count()
        found.append(StatusCount(feature.name, ok - noted, noted, absent, failed, n_clips - feature.rows.height))
    return found


@dataclass(frozen=True)
class ReasonCount:
    """One reason: feature, status, code, clips, the detail of the first, and numbers of the first clips."""

    feature: str
    status: str
    code: str
    clips: int
    detail: str
    examples: list[int]


def count_reasons(remarks: pl.DataFrame) -> list[ReasonCount]:
    """Count the remarks of `list_remarks` by feature, status and code, the most frequent first."""
    found = remarks.group_by("feature", "status", "code").agg(
        pl.len().alias("clips"), pl.col("detail").first(), pl.col(CLIP).head(_EXAMPLES)
    )
    order = pl.col("status").replace_strict({"failed": 0, "absent": 1, "noted": 2}, return_dtype=pl.Int8)
    return [
        ReasonCount(*row)
        for row in found.sort(order, "clips", "feature", "code", descending=[False, True, False, False]).iter_rows()
    ]


def list_facts(clips: pl.DataFrame, hours: str) -> list[tuple[str, str]]:
    """(name, value) of what the corpus holds."""
    files = clips["media"].n_unique()
    unspoken = clips["speaker"].null_count()
    n_speakers = clips["speaker"].drop_nulls().n_unique()
    facts = [("clips", f"{clips.height:,}")]
    facts += [("files", f"{files:,}")] if files != clips.height else []
    facts.append(("hours", hours))
    facts.append(("speakers", f"{n_speakers:,}" if n_speakers else UNKNOWN))
    facts += [("clips without a speaker", f"{unspoken:,}")] if n_speakers and unspoken else []
    facts += [(name, _list_values(clips[name])) for name in ("sex", "language", "label", "split")]
    facts.append(("own transcripts", f"{clips['transcript'].is_not_null().sum():,} clips"))
    return facts


def _list_values(column: pl.Series, most: int = 8) -> str:
    """`female 32, male 28, unknown 4`; `none` where nothing is known."""
    counts = column.drop_nulls().cast(pl.String).value_counts().sort("count", column.name, descending=[True, False])
    named = [f"{name} {count:,}" for name, count in counts.head(most).iter_rows()]
    named += [f"{counts.height - most:,} more"] if counts.height > most else []
    named += [f"{UNKNOWN} {column.null_count():,}"] if named and column.null_count() else []
    return ", ".join(named) or "none"
