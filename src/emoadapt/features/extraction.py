"""One extraction job: a feature's shard brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emoadapt.config import Study
from emoadapt.features.catalogue import (
    CNN_MODULES,
    FEATURES,
    build_extractor,
    check_feature,
    describe_recipe,
    load_extractor_class,
    study_code,
)
from emoadapt.flow.rows import Counts, Recipe, compute_shard
from emoadapt.models.registry import identity


def extract_shard(
    study: Study, feature: str, corpus: str, inputs: Sequence[Path], output: Path, threads: int
) -> Counts:
    """Compute a feature's shard.

    Args:
        study: the study.
        feature: its name.
        corpus: corpus of the shard.
        inputs: the shard of each upstream table, in the order of the feature's inputs.
        output: table to write.
        threads: threads the job may use.
    """
    upstream = dict(zip(FEATURES[check_feature(feature)].inputs, inputs, strict=True))
    return compute_shard(
        output,
        upstream,
        load_extractor_class(feature),
        lambda: build_extractor(study, feature, _device(study), threads),
        describe_recipe(study, feature),
        Path(study.corpora[corpus].root),
    )


def extract_cnn_shard(
    study: Study, backbone: str, audio: Path, output: Path, model: Path | None, threads: int
) -> Counts:
    """Compute the cached output of a frozen CNN encoder for a shard.

    Args:
        study: the study.
        backbone: its name.
        audio: AUDIO shard.
        output: CNN table to write.
        model: folder of a Stage-1 model whose CNN it is; None for the backbone's own.
        threads: threads the job may use.
    """
    from emoadapt.features.cnn import CnnExtractor
    from emoadapt.models.backbones import load_backbone

    config = study.backbones[backbone]
    weights = str(model.absolute()) if model else config.weights
    recipe = Recipe(
        f"cnn.{backbone}",
        config.model_dump_json(),
        study_code(study, *CNN_MODULES),
        identity(weights, study.weights_folder) if weights else "untrained",
    )

    def build() -> CnnExtractor:
        import torch

        torch.set_num_threads(threads)
        return CnnExtractor(load_backbone(config, study.weights_folder, model).to(_device(study)))

    return compute_shard(output, {"audio": audio}, CnnExtractor, build, recipe)


def _device(study: Study) -> str:
    if study.device != "auto":
        return study.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
