"""Lengths of clips: as decoded, as the corpus's tables state them, or as the headers of some files declare them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from emoadapt.exploring.clips import CLIP
from emoadapt.exploring.features import Feature
from emoadapt.media.durations import declared_seconds
from emoadapt.schema import SAMPLE_RATE

MOST_HEADERS = 2000
"""Files whose headers are read where nothing else states the lengths."""

EXTREMES = 5
"""Shortest, and longest, clips that are listed."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of clips.

    Args:
        seconds: `clip` and `seconds`, of the clips whose length is known.
        source: how they are known, a sentence.
        total: hours of all clips; None where nothing is known.
        exact: False where the total is the mean of the known lengths, times all clips.
    """

    seconds: pl.DataFrame
    source: str
    total: float | None
    exact: bool

    def list_extremes(self) -> list[tuple[str, list[tuple[int, float]]]]:
        """Shortest and longest clips with their lengths in s, each kind under its name."""
        ordered = self.seconds.sort("seconds", CLIP)
        if ordered.height <= EXTREMES:
            return [("all clips", list(ordered.iter_rows()))] if ordered.height else []
        return [
            ("shortest", list(ordered.head(EXTREMES).iter_rows())),
            ("longest", list(ordered.tail(EXTREMES).reverse().iter_rows())),
        ]


def measure_lengths(clips: pl.DataFrame, audio: Feature | None, root: Path, rng: np.random.Generator) -> Lengths:
    """Find the lengths of clips by the best source that is there.

    Args:
        clips: from `list_clips`.
        audio: its rows, with `n_samples`; None where it is not computed.
        root: the corpus's root.
        rng: draws the files whose headers are read.
    """
    if audio is not None and audio.usable().height:
        known = audio.usable().select(CLIP, (pl.col("n_samples") / SAMPLE_RATE).alias("seconds"))
        source = f"Lengths of the {known.height:,} clips whose sound was decoded."
    else:
        known, source = _declare(clips, root, rng)
    if known.is_empty():
        return Lengths(known, source, None, False)
    exact = known.height == clips.height
    seconds = known["seconds"].to_numpy()
    hours = float(seconds.sum() if exact else seconds.mean() * clips.height) / 3600
    return Lengths(known, source, hours, exact)


def _declare(clips: pl.DataFrame, root: Path, rng: np.random.Generator) -> tuple[pl.DataFrame, str]:
    """Lengths by start and end, and by headers of files for clips without."""
    stated = clips.filter(pl.col("start").is_not_null() & pl.col("end").is_not_null())
    parts = [stated.select(CLIP, (pl.col("end") - pl.col("start")).alias("seconds"))]
    said = (
        [f"Lengths of {stated.height:,} segments, from the start and end that the corpus states."]
        if stated.height
        else []
    )
    others = clips.filter(pl.col("start").is_null() | pl.col("end").is_null())
    if others.height:
        drawn = np.sort(rng.choice(others.height, min(MOST_HEADERS, others.height), replace=False))
        read = _read_headers(others[drawn], root)
        parts.append(read)
        which = "all" if len(drawn) == others.height else f"{len(drawn):,} drawn at random"
        said.append(
            f"Lengths that the headers of files declare, not decoded: {which} of {others.height:,} clips"
            f"{f'; no length is known of {len(drawn) - read.height:,}' if read.height < len(drawn) else ''}."
        )
    return pl.concat(parts).filter(pl.col("seconds") > 0).sort(CLIP), " ".join(said)


def _read_headers(clips: pl.DataFrame, root: Path) -> pl.DataFrame:
    media = clips["media"].unique(maintain_order=True).to_list()
    with ThreadPoolExecutor(max_workers=4) as pool:
        declared: Mapping[str, float | None] = dict(
            zip(media, pool.map(lambda name: declared_seconds(root / name), media), strict=True)
        )
    rows = [
        (number, (end if end is not None else seconds) - (start or 0.0))
        for number, name, start, end in clips.select(CLIP, "media", "start", "end").iter_rows()
        if (seconds := declared[name]) is not None
    ]
    return pl.DataFrame(rows, schema={CLIP: pl.UInt32, "seconds": pl.Float64}, orient="row")
