"""Outputs of frozen backbones, computed once per clip and kept like features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.extraction.outputs import EXTRACTORS, KeptExtractor
from emoadapt.extraction.shards import extract_here
from emoadapt.features.base import Extraction
from emoadapt.flow.rows import Counts, compute_shard
from emoadapt.flow.upstream import Recipe
from emoadapt.machine.torch_device import find_device
from emoadapt.weights.registry import identity

if TYPE_CHECKING:
    from emoadapt.config import Study


def keep_shard(
    study: Study,
    kind: str,
    backbone: str,
    model: Path | None,
    features: Mapping[str, Path],
    output: Path,
    code: str,
    libraries: str,
    threads: int,
) -> Counts:
    """Compute a kept output for a shard.

    Args:
        study: the study.
        kind: one of `schema.KEPT`.
        backbone: its name.
        model: folder of a Stage-1 model that it is computed with; None for the backbone as it is.
        features: shard of each feature that it reads.
        output: table to write, one of `schema.KEPT`.
        code: digest of the code that decides its rows.
        libraries: versions of the libraries that decide them.
        threads: threads the job may use.
    """
    from emoadapt.backbones.base import load_backbone

    config, extractor_class = study.backbones[backbone], EXTRACTORS[kind]
    weights = [(str(model.absolute()), None)] if model else config.list_weights()
    recipe = Recipe(
        f"{kind}.{backbone}",
        config.describe_kept(kind),
        code,
        " ".join(identity(name, study.weights_folder, revision) for name, revision in weights) or "untrained",
        libraries,
    )

    def build() -> KeptExtractor:
        import torch

        torch.set_num_threads(threads)
        found = load_backbone(config, study.weights_folder, model).to(find_device(study.device))
        return extractor_class(found, config.streams)

    extraction = Extraction(extractor_class.table, tuple(features))
    return compute_shard(output, dict(features), extraction, lambda chunks: extract_here(build, chunks), recipe)
