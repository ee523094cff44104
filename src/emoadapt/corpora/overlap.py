"""The same recording in two places: a clip that is trained on, or heard in Stage 1, and tested on as well."""

from __future__ import annotations

import hashlib

import polars as pl

from emoadapt.schema import UNREADABLE

EMPTY = hashlib.sha256(b"").hexdigest()[:16]
"""Fingerprint of a file without a byte (`flow.fingerprints`): two of them share no recording."""

CLIP_COLUMNS = ("fingerprint", "start", "end")
"""Columns of a manifest that say which piece of which recording an utterance is."""


def find_shared_clips(clips: pl.DataFrame, others: pl.DataFrame) -> set[str]:
    """Utterances whose recording, or a piece of it that overlaps in time, is also among others.

    Recordings are told apart by the content of their files, never by names, so that a corpus which is configured
    twice, or a file which was copied, is found. The same performance in another file (cut, transcoded, with
    picture) is not.

    Args:
        clips: columns `utterance_id`, `fingerprint`, `start` and `end` (s; null = open).
        others: the same columns; rows of the same utterance are passed over.

    Returns:
        Ids of `clips`.
    """
    left, right = (
        frame.filter(~pl.col("fingerprint").is_in([UNREADABLE, EMPTY]))
        .select(
            "utterance_id",
            "fingerprint",
            pl.col("start").cast(pl.Float64).fill_null(0.0),
            pl.col("end").cast(pl.Float64).fill_null(float("inf")),
        )
        .unique()
        for frame in (clips, others)
    )
    pairs = left.join(right, on="fingerprint", suffix="_other").filter(
        pl.col("utterance_id") != pl.col("utterance_id_other"),
        pl.col("start") < pl.col("end_other"),
        pl.col("start_other") < pl.col("end"),
    )
    return set(pairs["utterance_id"])
