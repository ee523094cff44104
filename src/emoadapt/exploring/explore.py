"""Explore a corpus: what `emoadapt explore` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from emoadapt.errors import DataError
from emoadapt.exploring.advice import list_advice
from emoadapt.exploring.clips import CLIP, list_clips
from emoadapt.exploring.counts import count_labels, count_reasons, count_statuses, cross_speakers
from emoadapt.exploring.decoding import Content, collect_contents, measure_sound
from emoadapt.exploring.features import Feature, find_tables, list_remarks, read_features
from emoadapt.exploring.lengths import measure_lengths
from emoadapt.exploring.maps import Map, Method, choose_features, draw_map
from emoadapt.exploring.oddities import list_copies, list_oddities
from emoadapt.exploring.outliers import find_outliers
from emoadapt.exploring.page import Findings, write_page
from emoadapt.exploring.samples import choose_samples, name_reasons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emoadapt.config import Study
    from emoadapt.exploring.levels import Levels

MOST_MEASURED, MOST_DECODED = 1000, 48
"""Clips whose levels are measured, at most: of decoded sound, and of sound that must be decoded first."""


@dataclass(frozen=True)
class Wishes:
    """Options of the command.

    Args:
        samples: number of clips to draw at random and show.
        points: largest number of clips on a map.
        features: features to draw maps of; empty: the default ones.
        method: projection of the maps.
        seed: seed of all draws.
        configfiles: as on the command line, for the commands that the page advises.
    """

    samples: int = 24
    points: int = 2000
    features: Sequence[str] = ()
    method: Method = "pca"
    seed: int = 0
    configfiles: Sequence[Path] = field(default_factory=list)


def explore_corpus(study: Study, corpus: str, results: Path, output: Path, wishes: Wishes) -> None:
    """Write the page of a corpus.

    Args:
        study: the configuration.
        corpus: one of its corpora.
        results: folder of results, which may be missing.
        output: HTML file to write.
        wishes: options of the command.

    Raises:
        CorpusError: the corpus cannot be listed.
        ConfigError: a map is wanted of a feature that is not computed, or by a package that is not installed.
    """
    config = study.corpora[corpus]
    clips, notes = list_clips(corpus, config)
    tables, refused = find_tables(study, corpus, results)
    features, unread = read_features(tables, clips)
    maps = _draw_maps(features, wishes)
    findings = _examine(study, corpus, clips, features, [one for one in maps if isinstance(one, Map)], wishes)
    findings.notes = [*_find_copies(results / "manifests" / corpus, clips["media"]), *notes]
    findings.gaps = [one for one in maps if isinstance(one, str)]
    findings.advice = list_advice(study, corpus, features, refused | unread, list(wishes.configfiles))
    write_page(study, corpus, findings, output)


def _find_copies(folder: Path, media: pl.Series) -> list[str]:
    try:
        return list_copies(sorted(folder.glob("*.parquet")), media)
    except DataError as error:
        return [str(error)]


def _draw_maps(features: dict[str, Feature], wishes: Wishes) -> list[Map | str]:
    names = choose_features(features, list(wishes.features))
    return [draw_map(features[name], wishes.points, wishes.method, wishes.seed) for name in names]


def _examine(
    study: Study, corpus: str, clips: pl.DataFrame, features: dict[str, Feature], maps: list[Map], wishes: Wishes
) -> Findings:
    """Count everything, and look at the clips that are shown."""
    rng = np.random.default_rng(wishes.seed)
    audio = features.get("audio")
    lengths = measure_lengths(clips, audio, Path(study.corpora[corpus].root), rng)
    clips = clips.join(lengths.seconds, on=CLIP, how="left")
    heard = _draw_heard(clips, audio, rng)
    contents = {} if audio else collect_contents(study, corpus, clips[heard], features)
    levels = _measure_levels(audio, heard, contents)
    remarks = list_remarks(features.values())
    known = lengths.seconds[CLIP].to_numpy(), lengths.seconds["seconds"].to_numpy()
    outliers, reasons = find_outliers(known, levels, maps), count_reasons(remarks)
    drawn_from = (clips[CLIP].to_numpy() if audio else heard).tolist()
    troubled = [(clip, "cannot be used") for clip, content in contents.items() if content.problem]
    urgent = [*troubled, *name_reasons(reasons)]
    chosen = choose_samples(drawn_from, wishes.samples, urgent, lengths.list_extremes(), outliers, rng)
    others = [clip for clip in chosen if clip not in contents]
    contents |= collect_contents(study, corpus, clips[others], features) if others else {}
    labels = count_labels(clips, lengths.seconds)
    matrix = cross_speakers(clips, [one.label for one in labels])
    statuses = count_statuses(features.values(), clips.height)
    return Findings(
        clips=clips,
        lengths=lengths,
        levels=levels,
        labels=labels,
        matrix=matrix,
        statuses=statuses,
        reasons=reasons,
        remarks=remarks,
        oddities=list_oddities(clips, labels, matrix, statuses),
        maps=maps,
        outliers=outliers,
        samples={clip: (whys, contents[clip]) for clip, whys in chosen.items()},
        decoded=0 if audio else len(contents),
        strangers={name: feature.strangers for name, feature in features.items() if feature.strangers},
        seed=wishes.seed,
        sampled=len(heard) < (audio.usable() if audio else clips).height,
    )


def _draw_heard(clips: pl.DataFrame, audio: Feature | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the clips whose levels are measured, sorted; fewer where their media must be decoded first."""
    pool, most = (audio.usable(), MOST_MEASURED) if audio else (clips, MOST_DECODED)
    return np.sort(rng.choice(pool[CLIP].to_numpy(), min(most, pool.height), replace=False))


def _measure_levels(
    audio: Feature | None, heard: NDArray[np.int64], contents: Mapping[int, Content]
) -> dict[int, Levels]:
    """Levels of the clips that were drawn: from the feature, else from what was decoded for the page."""
    if audio:
        return measure_sound(audio, heard.tolist())
    return {clip: content.levels for clip, content in contents.items() if content.levels}
