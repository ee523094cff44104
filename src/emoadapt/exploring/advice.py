"""Features that the page lacks, and the commands that compute them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emoadapt.config.features import needs_video
from emoadapt.exploring.features import Feature
from emoadapt.exploring.maps import USUAL
from emoadapt.flow.shards import shard_names

if TYPE_CHECKING:
    from pathlib import Path

    from emoadapt.config import Study

PARTS = {
    "audio": "exact lengths, levels, and which clips cannot be read",
    "egemaps_functionals": "a map by the sound of the voice, and outliers by it",
    "faces": "crops of faces, and which clips have none",
    "face_embedding": "a map by the expression of the face, and outliers by it",
    "transcript": "recognised words, and which clips have none",
}
"""Feature -> what the page shows of it."""


@dataclass(frozen=True)
class Advice:
    """A feature that the page lacks.

    Args:
        feature: the feature.
        shows: content that the page would show with it.
        why: reason why it is missing.
        command: command that computes it.
    """

    feature: str
    shows: str
    why: str
    command: str


def list_advice(
    study: Study, corpus: str, present: Mapping[str, Feature], refused: Mapping[str, str], configfiles: list[Path]
) -> list[Advice]:
    """List the features that are not computed yet, with the commands that compute them.

    Args:
        study: the configuration.
        corpus: the corpus.
        present: features that the page uses.
        refused: feature -> why its tables are not used.
        configfiles: as on the command line.
    """
    from emoadapt.study.graph import Graph

    planned = {feature for feature, name in Graph(study).features_in_use() if name == corpus}
    given = f" --configfile {shlex.join(map(str, configfiles))}" if configfiles else ""
    shards = shard_names(study.corpora[corpus].shards)
    which = f"{{{shards[0]}..{shards[-1]}}}" if len(shards) > 1 else shards[0]
    found = []
    for feature in dict.fromkeys([*PARTS, *refused, *sorted(planned)]):
        blind = needs_video(feature) and "video" not in study.corpora[corpus].modalities
        drawn = feature in USUAL[0] and any(name in present for name in USUAL[0])
        whole = feature in present and len(present[feature].paths) == len(shards)
        if whole or blind or (drawn and feature not in planned):
            continue
        why = "not computed yet" if feature in planned else "not part of this study; it can be computed all the same"
        if feature in present:
            why = f"{len(present[feature].paths)} of {len(shards)} shards are computed"
        command = f"snakemake results/features/{feature}/{corpus}/{which}.parquet --cores all{given}"
        found.append(
            Advice(feature, PARTS.get(feature, "its statuses and reasons"), refused.get(feature, why), command)
        )
    return found
