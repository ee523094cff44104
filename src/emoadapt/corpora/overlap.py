"""Clips that share a recording: the same file content, and for segments times that overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from emoadapt.schema import UNREADABLE

EMPTY = hashlib.sha256(b"").hexdigest()[:16]
"""Fingerprint of a file without a byte (`flow.fingerprints`): two of them share no recording."""

CLIP_COLUMNS = ("fingerprint", "start", "end")
"""Columns of a manifest that say which piece of which recording an utterance is."""


def is_readable() -> pl.Expr:
    """Whether a clip has a recording that can be compared."""
    return pl.col("fingerprint") != UNREADABLE


def find_shared_clips(clips: pl.DataFrame, others: pl.DataFrame, differing: str = "utterance_id") -> set[str]:
    """Utterances whose recording, or a piece of it that overlaps in time, is also among others.

    Recordings are compared by the content of their files, never by names, so that a corpus which is configured
    twice, or a file which was copied or linked, is found. The same performance in another file (cut, transcoded, with
    picture) is not. Time and memory grow with the number of utterances, however many segments a recording has.

    Args:
        clips: columns `utterance_id`, `fingerprint`, `start` and `end` (s; null = open).
        others: the same columns; may be the same table.
        differing: column of both in which the two must differ. By default an utterance does not share with itself; with
            `label` only recordings of two labels are found. Rows without a value share nothing.

    Returns:
        Ids of `clips`.
    """
    left, right = (_place_clips(frame, differing) for frame in (clips, others))
    left = left.join(right, on="fingerprint", how="semi")
    right = right.join(left, on="fingerprint", how="semi")
    found = _count_overlaps(left, right, ["fingerprint"]) - _count_overlaps(left, right, ["fingerprint", "differing"])
    return set(left.filter(pl.Series(found > 0, dtype=pl.Boolean))["utterance_id"])


def group_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """Put utterances that share a recording into one group, also where others link them.

    Args:
        clips: columns as for `find_shared_clips`.

    Returns:
        Columns `utterance_id` and `group` (a number), of the utterances with a readable recording.
    """
    placed = _place_clips(clips, "utterance_id").sort("fingerprint", "start", "end")
    # A group ends where all segments that began before have ended.
    reached = pl.col("end").cum_max().shift().over("fingerprint")
    begins = (reached.is_null() | (pl.col("start") >= reached)).alias("begins")
    return placed.with_columns(begins).select("utterance_id", group=pl.col("begins").cum_sum())


def find_partner(clip: str, clips: pl.DataFrame, differing: str) -> str:
    """The first utterance, by id, that shares a recording with a clip.

    The clip is one that `find_shared_clips` found among the same clips.
    """
    placed = _place_clips(clips, differing)
    own = placed.filter(utterance_id=clip).row(0, named=True)
    shared = placed.filter(
        pl.col("fingerprint") == own["fingerprint"],
        pl.col("differing") != own["differing"],
        pl.col("start") < own["end"],
        pl.col("end") > own["start"],
    )
    return str(shared["utterance_id"].min())


def _place_clips(clips: pl.DataFrame, differing: str) -> pl.DataFrame:
    """Utterances with a readable recording, from `start` to `end` (s); open ends are 0 and infinity."""
    return clips.filter(~pl.col("fingerprint").is_in([UNREADABLE, EMPTY])).select(
        "utterance_id",
        "fingerprint",
        pl.col("start").cast(pl.Float64).fill_null(0.0),
        pl.col("end").cast(pl.Float64).fill_null(float("inf")),
        differing=pl.col(differing).cast(pl.String),
    ).drop_nulls("differing")  # fmt: skip


def _count_overlaps(clips: pl.DataFrame, others: pl.DataFrame, keys: Sequence[str]) -> NDArray[np.int64]:
    """How many of `others` with the same values of `keys` overlap in time with each of `clips`.

    These are the ones that start before the clip ends, less those that have ended when it starts. Both are counted in one
    sorted list for all recordings, in which a position is the recording's number and then the time's.
    """
    both = pl.concat([clips, others])
    groups = both.select(pl.concat_str(keys, separator="\0").rank("dense")).to_series().to_numpy().astype(np.int64)
    times, places = np.unique(both.select("start", "end").to_numpy(), return_inverse=True)
    positions = groups[:, None] * len(times) + places.reshape(-1, 2)
    starts, ends = (np.sort(positions[clips.height :, column]) for column in (0, 1))
    begun = np.searchsorted(starts, positions[: clips.height, 1], side="left")
    over = np.searchsorted(ends, positions[: clips.height, 0], side="right")
    return begun - over
