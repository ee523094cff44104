"""Division of Stage-1 clips into a training and a held-out part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from emoadapt import schema
from emoadapt.errors import DataError, name_count, show
from emoadapt.flow.provenance import library_versions
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import write_table
from emoadapt.tasks.overlap import CLIP_COLUMNS, group_clips, group_overlapping, is_readable

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
    write_table(output, draw_parts(clips, held_out, seed).to_arrow(), schema.PARTS, library_versions())


def draw_parts(manifests: Mapping[str, pl.DataFrame], held_out: float, seed: int) -> pl.DataFrame:
    """Draw the held-out share of the unlabelled clips.

    Speakers are drawn where they are known, single clips where not. Those that must not be divided are drawn as one family
    (`find_families`), so that no held-out clip is a copy of a training clip. Each corpus is drawn by itself:
    the first ceil(held_out * n) families in the order of a seeded hash, of which at least one is left to train on. A family
    that spans corpora stays where the first of them put it. A family is drawn by its first speaker by name (its first clip
    where none is known), so that neither a new clip of a known speaker nor a copy with a later name moves anybody.
    Clips of no family are training clips.

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
        rows = clips.filter(pl.col("family").is_not_null(), corpus=corpus)
        named = rows.sort(pl.col("speaker").is_null(), "unit").group_by("family").agg(pl.col("unit").first())
        if named.height < 2:
            raise DataError(_explain_single(corpus, rows))
        free = {unit: family for family, unit in named.rows() if family not in held}
        drawn = sorted(free, key=lambda name: hashlib.sha256(f"{seed}/{corpus}/{name}".encode()).digest())
        settled = [held[family] for family in named["family"] if family in held]
        most = len(drawn) - all(settled)
        wanted = int(np.ceil(held_out * named.height)) - sum(settled)
        chosen = set(drawn[: max(0, min(wanted, most))])
        held |= {family: unit in chosen for unit, family in free.items()}
    chosen_clip = pl.col("family").replace_strict(held, default=False, return_dtype=pl.Boolean)
    part = pl.when(chosen_clip).then(pl.lit("held_out")).otherwise(pl.lit("train"))
    return clips.with_columns(part=part).select(schema.PARTS.names)


_SMALL_FAMILY = 5
"""Speakers, or clips without one, of a family that is left together whatever its share of a corpus."""


def find_families(manifests: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Put clips into families that must not be divided.

    Clips of a speaker are a family. Where the speaker is unknown, segments of a file are one, since they are probably of the
    same people; in a corpus that would be a single family by that, only segments that overlap are. Families that share a
    recording (`tasks.overlap.group_clips`) are one family.

    Recordings that would make a corpus a single family, or more than half of it one, such as the same calibration clip of each
    speaker, link nobody: their clips are of no family. Those that are shared by most speakers are taken first, all that are shared
    by as many at once.

    Args:
        manifests: corpus -> MANIFEST rows.

    Returns:
        Columns `utterance_id`, `corpus`, `speaker`; `unit`, the speaker, or the clip where the speaker is unknown; `family`, a
        number, null for clips of a recording that links nobody; `recording`, a number that copies have in common, null
        where it cannot be compared.
    """
    clips = _describe_units(manifests)
    by_file = set(manifests)
    common = pl.Series("common", [], dtype=pl.Int64)
    while True:
        files = pl.when(pl.col("corpus").is_in(list(by_file))).then("file").alias("file")
        joined = clips.filter(~pl.col("recording").is_in(common.implode()).fill_null(False))
        families = joined.with_columns(_connect(joined.select("node", "recording", "overlapping", files)))
        single = _find_single(families, manifests)
        if single & by_file:
            by_file -= single
            continue
        widest = _find_widest(joined.filter(pl.col("corpus").is_in(list(single))))
        if not len(widest):
            single = {corpus for corpus in single if families.filter(corpus=corpus)["family"].n_unique() < 2}
            break
        common = common.append(widest)
    if single:
        # Without its links such a corpus is none either: the refusal shows them.
        families = clips.with_columns(_connect(clips.select("node", "recording", "overlapping")))
    numbers = families.select("utterance_id", "family")
    return clips.join(numbers, on="utterance_id", how="left", maintain_order="left").select(
        "utterance_id", "corpus", "speaker", "unit", "family", "recording"
    )


def describe_common(manifests: Mapping[str, pl.DataFrame]) -> list[str]:
    """A sentence for each corpus with clips that stay in the training part, since they would link all its speakers."""
    common = find_families(manifests).filter(pl.col("family").is_null()).sort("utterance_id")
    return [
        f"corpus {corpus}: {rows.height} clips are copies of recordings that would link all its "
        f"speakers or clips ({show(rows['utterance_id'], 3)}); they are never held out"
        for (corpus,), rows in common.partition_by("corpus", as_dict=True, maintain_order=True).items()
    ]


def _describe_units(manifests: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Columns of the clips, and numbers that clips have in common which belong together.

    Returns:
        `COLUMNS`, `corpus`, `unit`; `node` of the unit, `recording` of the copies, and of segments of unknown speakers `file` and
        `overlapping`.
    """
    unit = pl.coalesce("speaker", "utterance_id").alias("unit")
    clips = pl.concat(
        frame.select(*COLUMNS, unit, corpus=pl.lit(corpus, dtype=pl.String)) for corpus, frame in manifests.items()
    )
    unnamed = clips.filter(
        pl.col("speaker").is_null(), pl.any_horizontal(pl.col("start", "end").is_not_null()), is_readable()
    )
    files = unnamed.select("utterance_id", file=pl.col("fingerprint").rank("dense").cast(pl.Int64))
    return (
        clips.with_columns(node=pl.struct("corpus", "unit").rank("dense").cast(pl.Int64))
        .join(group_clips(clips).rename({"group": "recording"}), on="utterance_id", how="left", maintain_order="left")
        .join(files, on="utterance_id", how="left", maintain_order="left")
        .join(
            group_overlapping(unnamed).rename({"group": "overlapping"}),
            on="utterance_id",
            how="left",
            maintain_order="left",
        )
    )


def _connect(links: pl.DataFrame) -> pl.Series:
    """Number of the family of each row: rows with a value of any column in common are of one family."""
    rows = np.arange(links.height)
    ends, size = [], links.height
    for column in links.iter_columns():
        known = column.is_not_null().to_numpy()
        places = column.drop_nulls().rank("dense").to_numpy().astype(np.int64)
        ends.append((rows[known], size + places - 1))
        size += int(places.max(initial=0))
    left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
    _, families = connected_components(
        coo_matrix((np.ones(len(left)), (left, right)), shape=(size, size)), directed=False
    )
    return pl.Series("family", families[: links.height], dtype=pl.Int64)


def _find_single(families: pl.DataFrame, corpora: Iterable[str]) -> set[str]:
    """Corpora that are one family, or of which one family of several units is more than half: no share of it could be held out."""
    sizes = families.group_by("corpus", "family").agg(pl.col("node").n_unique().alias("units"))
    found = sizes.group_by("corpus").agg(families=pl.len(), largest=pl.col("units").max(), units=pl.col("units").sum())
    many = pl.col("families") > 1
    whole = pl.max_horizontal(pl.lit(_SMALL_FAMILY), pl.col("units") / 2)
    divided = set(found.filter(many, pl.col("largest") <= whole)["corpus"])
    return set(corpora) - divided


def _find_widest(clips: pl.DataFrame) -> pl.Series:
    """Recordings that most speakers, or clips without a speaker, share; none where no two do."""
    shared = clips.drop_nulls("recording").group_by("recording").agg(pl.col("node").n_unique().alias("units"))
    shared = shared.filter(pl.col("units") > 1)
    return shared.filter(pl.col("units") == pl.col("units").max())["recording"]


def _explain_single(corpus: str, rows: pl.DataFrame) -> str:
    units = rows["unit"].n_unique()
    if units < 2:
        return (
            f"corpus {corpus} has {name_count(units, 'speaker')} for Stage 1, at least 2 are needed to hold one out; "
            "add clips, or leave `speaker` unset to hold out single clips"
        )
    widest = rows.filter(pl.col("recording").is_in(_find_widest(rows.rename({"unit": "node"})).implode()))
    named = f", such as {show(widest['utterance_id'].sort(), 3)}" if widest.height else ""
    return (
        f"corpus {corpus}: its {units} speakers or clips are linked by recordings that they share (copies, or segments that overlap "
        f"in time){named}, so that none can be held out from Stage 1; remove the copies, or cut segments that do not overlap"
    )
