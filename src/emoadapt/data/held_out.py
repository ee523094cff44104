"""Division of the clips of Stage 1 into a training and a held-out part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from emoadapt import schema
from emoadapt.corpora.overlap import CLIP_COLUMNS, group_clips
from emoadapt.errors import DataError
from emoadapt.flow.frames import read_frame
from emoadapt.flow.store import write_table

COLUMNS = ("utterance_id", "speaker", *CLIP_COLUMNS)
"""Columns of a manifest that decide the division."""


def assign_parts(manifests: Mapping[str, Sequence[Path]], held_out: float, seed: int, output: Path) -> None:
    """Draw the held-out share of the unlabelled clips (PARTS), as `draw_parts`.

    Args:
        manifests: corpus -> manifest shards.
        held_out: share of speakers (or clips), 0 < held_out < 1.
        seed: of the draw.
        output: table to write.

    Raises:
        DataError: as `draw_parts`.
    """
    clips = {corpus: read_frame(paths, schema.MANIFEST, COLUMNS) for corpus, paths in manifests.items()}
    write_table(output, draw_parts(clips, held_out, seed).to_arrow(), schema.PARTS)


def draw_parts(manifests: Mapping[str, pl.DataFrame], held_out: float, seed: int) -> pl.DataFrame:
    """Draw the held-out share of the unlabelled clips.

    Speakers are drawn where they are known, single clips where not. Those that share a recording, or pieces of one that overlap
    in time, are drawn as one family, so that no held-out clip is a copy of a training clip. Each corpus is drawn by itself:
    the first ceil(held_out * n) families in the order of a seeded hash, of which at least one is left to train on. A family
    that spans corpora stays where the first of them put it. A family is drawn by its first speaker by name (its first clip
    where none is known), so that neither a new clip of a known speaker nor a copy with a later name moves anybody.

    Args:
        manifests: corpus -> MANIFEST rows.
        held_out: share of speakers (or clips), 0 < held_out < 1.
        seed: of the draw.

    Returns:
        PARTS rows.

    Raises:
        DataError: a corpus is a single speaker, clip or family, so that nothing could be held out or trained on.
    """
    clips = find_families(manifests)
    held: dict[int, bool] = {}
    for corpus in manifests:
        rows = clips.filter(corpus=corpus)
        named = rows.sort(pl.col("speaker").is_null(), "unit").group_by("family").agg(pl.col("unit").first())
        if named.height < 2:
            raise DataError(_explain_single(corpus, rows["unit"].n_unique()))
        free = {unit: family for family, unit in named.rows() if family not in held}
        drawn = sorted(free, key=lambda name: hashlib.sha256(f"{seed}/{corpus}/{name}".encode()).digest())
        settled = [held[family] for family in named["family"] if family in held]
        most = len(drawn) - all(settled)
        wanted = int(np.ceil(held_out * named.height)) - sum(settled)
        chosen = set(drawn[: max(0, min(wanted, most))])
        held |= {family: unit in chosen for unit, family in free.items()}
    part = pl.when(pl.col("family").replace_strict(held, return_dtype=pl.Boolean)).then(pl.lit("held_out"))
    return clips.with_columns(part=part.otherwise(pl.lit("train"))).select(schema.PARTS.names)


def find_families(manifests: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Put clips into families that must not be divided.

    Args:
        manifests: corpus -> MANIFEST rows.

    Returns:
        Columns `utterance_id`, `corpus`, `speaker`; `unit`, the speaker, or the clip where the speaker is unknown; `family`, a
        number that clips have in common if their units are linked by shared recordings.
    """
    unit = pl.coalesce("speaker", "utterance_id").alias("unit")
    clips = pl.concat(
        frame.select(*COLUMNS, unit, corpus=pl.lit(corpus, dtype=pl.String)) for corpus, frame in manifests.items()
    )
    units = clips.select(pl.struct("corpus", "unit").rank("dense")).to_series().cast(pl.Int64) - 1
    placed = clips.select("utterance_id", units.alias("node"))
    edges = placed.join(group_clips(clips), on="utterance_id")
    size = placed.height + edges["group"].n_unique() + 1
    ends = (edges["node"].to_numpy(), placed.height + edges["group"].to_numpy())
    _, families = connected_components(coo_matrix((np.ones(edges.height), ends), shape=(size, size)), directed=False)
    return clips.drop(*CLIP_COLUMNS).with_columns(family=pl.Series(families[units.to_numpy()]))


def _explain_single(corpus: str, units: int) -> str:
    if units < 2:
        return (
            f"corpus {corpus} has {units} speaker(s) for Stage 1, at least 2 are needed to hold one out; "
            "add clips, or leave `speaker` unset to hold out single clips"
        )
    return (
        f"corpus {corpus}: its {units} speakers or clips are linked by recordings that they share (copies, or segments that overlap "
        "in time), so that none can be held out from Stage 1; remove the copies, or cut segments that do not overlap"
    )
