"""Clips of the same recording, found by file content and times.

Clips with equal file content are one recording. Two segments of one file are the same recording if their overlap is at least half
of the shorter one: neighbours in a conversation overlap by some milliseconds without being copies. The condition holds exactly if
the middle of one segment is within the other, so middles are compared. Times are whole milliseconds, as in utterance ids.
"""

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

_OPEN = 2**50
"""End (ms) of a segment without one: after every other. Segments that are open share their ends, so they are the same recording."""


def is_readable() -> pl.Expr:
    """Whether a clip has a recording that can be compared."""
    return pl.col("fingerprint").fill_null(UNREADABLE) != UNREADABLE


def find_shared_clips(clips: pl.DataFrame, others: pl.DataFrame, differing: str = "utterance_id") -> pl.Series:
    """Utterances whose recording is also among others; of a segment, at least half of the shorter one.

    Recordings are compared by the content of their files, never by names, so that a corpus which is configured
    twice, or a file which was copied or linked, is found. The same performance in another file (cut, transcoded, with
    picture) is not. Time and memory grow with the number of utterances, however many segments a recording has.

    Args:
        clips: columns `utterance_id`, `fingerprint`, `start` and `end` (s; null = open).
        others: the same columns; may be the same table.
        differing: column of both in which the two must differ. By default an utterance does not share with itself; with
            `label` only recordings of two labels are found. Rows without a value share nothing.

    Returns:
        Ids of `clips`, each once, in no order.
    """
    left, right = (_place_clips(frame, differing) for frame in (clips, others))
    left = left.join(right, on="fingerprint", how="semi")
    right = right.join(left, on="fingerprint", how="semi")
    every, alike = (_count_middles(left, right, keys) for keys in (["fingerprint"], ["fingerprint", "differing"]))
    found = ((every - alike) > 0).any(axis=0)
    return left.filter(pl.Series(found, dtype=pl.Boolean))["utterance_id"].unique()


def find_overlapping_clips(clips: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Utterances that overlap in time, however little, with others of the same file.

    Args:
        clips: columns as for `find_shared_clips`.
        others: the same columns.

    Returns:
        Ids of `clips`, each once, in no order.
    """
    left, right = (_place_clips(frame, "utterance_id") for frame in (clips, others))
    starts, ends, _ = _locate(pl.concat([left, right]), ["fingerprint"])
    # Those that start before the clip ends, less those that have ended when it starts.
    begun = np.searchsorted(np.sort(starts[left.height :]), ends[: left.height], "left")
    over = np.searchsorted(np.sort(ends[left.height :]), starts[: left.height], "right")
    return left.filter(pl.Series(begun > over, dtype=pl.Boolean))["utterance_id"].unique()


def group_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """Put utterances of the same recording into one group, also where others link them.

    Args:
        clips: columns as for `find_shared_clips`.

    Returns:
        Columns `utterance_id` and `group` (a number), of the utterances with a readable recording.
    """
    placed = _place_clips(clips, "utterance_id").sort("fingerprint", "middle")
    starts, ends, middles = _locate(placed, ["fingerprint"])
    # A segment links all whose middle it contains, which follow one another in this order.
    first, last = np.searchsorted(middles, starts, "left"), np.searchsorted(middles, ends, "right") - 1
    linked = np.zeros(placed.height + 1, dtype=np.int64)
    np.add.at(linked, first, 1)
    np.add.at(linked, last, -1)
    begins = np.append(True, np.cumsum(linked)[:-1] == 0)[: placed.height]
    return placed.select("utterance_id", group=pl.Series(np.cumsum(begins), dtype=pl.Int64))


def group_overlapping(clips: pl.DataFrame) -> pl.DataFrame:
    """Put utterances that overlap in time, however little, into one group, also where others link them.

    Args:
        clips: columns as for `find_shared_clips`.

    Returns:
        As `group_clips`.
    """
    placed = _place_clips(clips, "utterance_id").sort("fingerprint", "start", "end")
    # A group ends where all segments that began before have ended.
    reached = pl.col("end").cum_max().shift().over("fingerprint")
    begins = (reached.is_null() | (pl.col("start") >= reached)).alias("begins")
    return placed.with_columns(begins).select("utterance_id", group=pl.col("begins").cum_sum().cast(pl.Int64))


def find_partner(clip: str, clips: pl.DataFrame, differing: str) -> str:
    """The first utterance, by id, that shares a recording with a clip.

    The clip is one that `find_shared_clips` found among the same clips.
    """
    placed = _place_clips(clips, differing)
    own = placed.filter(utterance_id=clip).row(0, named=True)
    contains = pl.col("middle").is_between(2 * own["start"], 2 * own["end"])
    contained = pl.lit(own["middle"]).is_between(2 * pl.col("start"), 2 * pl.col("end"))
    shared = placed.filter(
        pl.col("fingerprint") == own["fingerprint"], pl.col("differing") != own["differing"], contains | contained
    )
    return str(shared["utterance_id"].min())


def _place_clips(clips: pl.DataFrame, differing: str) -> pl.DataFrame:
    """Utterances with a readable recording, from `start` to `end` (ms), and `middle`, twice their middle (ms)."""
    start, end = ((pl.col(name).cast(pl.Float64) * 1000).round().cast(pl.Int64) for name in ("start", "end"))
    placed = clips.filter(~pl.col("fingerprint").is_in([UNREADABLE, EMPTY])).select(
        "utterance_id", "fingerprint", start.fill_null(0), end.fill_null(_OPEN), differing=pl.col(differing).cast(pl.String)
    ).drop_nulls("differing")  # fmt: skip
    # A segment of less than half a millisecond would be a point.
    placed = placed.with_columns(end=pl.max_horizontal("end", pl.col("start") + 1))
    return placed.with_columns(middle=pl.col("start") + pl.col("end"))


def _count_middles(clips: pl.DataFrame, others: pl.DataFrame, keys: Sequence[str]) -> NDArray[np.int64]:
    """How many of `others` with the same values of `keys` are the same recording as each of `clips`.

    Returns:
        (2, n_clips): others whose middle lies within the clip, and others within which the clip's middle lies.
    """
    starts, ends, middles = _locate(pl.concat([clips, others]), keys)
    first, last, own = starts[: clips.height], ends[: clips.height], middles[: clips.height]
    begun, over, middle = (np.sort(places[clips.height :]) for places in (starts, ends, middles))
    contained = np.searchsorted(middle, last, "right") - np.searchsorted(middle, first, "left")
    containing = np.searchsorted(begun, own, "right") - np.searchsorted(over, own, "left")
    return np.stack([contained, containing])


def _locate(
    placed: pl.DataFrame, keys: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Starts, ends and middles as positions on one line, on which the recordings follow one another."""
    groups = placed.select(pl.concat_str(keys, separator="\0").rank("dense")).to_series().to_numpy().astype(np.int64)
    values = placed.select(pl.col("start") * 2, pl.col("end") * 2, "middle").to_numpy()
    times, places = np.unique(values, return_inverse=True)
    positions = groups[:, None] * len(times) + places.reshape(-1, 3)
    return positions[:, 0], positions[:, 1], positions[:, 2]
