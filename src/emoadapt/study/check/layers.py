"""Check of the layers that trainings ask for, against the number that pretrained weights have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.config.training import list_values
from emoadapt.errors import Change, EmoadaptError, Problem
from emoadapt.fixes import lower_layer
from emoadapt.weights.registry import locate

if TYPE_CHECKING:
    from emoadapt.config import Study

_KEYS = ("encoder_layers", "num_hidden_layers", "n_layers")
"""Keys of a `config.json` with the number of layers; of an encoder with a decoder the first counts."""


def find_missing_layers(study: Study) -> list[Problem]:
    """Say which layers are asked for that a pretrained backbone lacks.

    Weights that are missing, or whose number of layers is not in a `config.json`, are passed over: the job looks again.
    """
    problems: list[Problem] = []
    for name, backbone in study.backbones.items():
        if backbone.depth is not None or backbone.joined or (layers := _count_layers(study, backbone)) is None:
            continue
        said = f"backbone {name} has layers 0 to {layers}"
        trainings = {f"adaptations.{a}": study.adaptations[a] for a in study.starts(name)[1:]}
        models = [model for model in study.list_models() if model.backbone == name]
        trainings |= {f"finetunings.{model.finetuning}": study.finetunings[model.finetuning] for model in models}
        problems += [
            Problem(
                f"{path}.layer",
                f"layer {layer} is asked for, and {said}; choose another, or name other backbones in {path}.backbones",
                *lower_layer(f"{path}.layer", getattr(settings, "layer", None), layers),
                Change(f"{path}.backbones", ["NAME"]),
            )
            for path, settings in trainings.items()
            for layer in list_values(getattr(settings, "layer", None))
            if isinstance(layer, int) and layer > layers
        ]
        keys = {f"backbones.{name}": backbone, **trainings}
        problems += [
            Problem(
                f"{path}.train_layers",
                f"{number} are to be trained, and backbone {name} has {layers} layers; set `all` or at most {layers}",
                Change(f"{path}.train_layers", layers),
            )
            for path, settings in keys.items()
            if isinstance(number := getattr(settings, "train_layers", None), int) and number > layers
        ]
    return problems


def _count_layers(study: Study, backbone: Any) -> int | None:
    """Layers of the weights of a backbone above the transformer's input; None where they do not say it."""
    for weights, revision in backbone.list_weights():
        try:
            found: Path = locate(weights, study.weights_folder, revision)
            config = json.loads((found / "config.json").read_text(encoding="utf-8"))
        except (EmoadaptError, OSError, ValueError):
            return None
        if isinstance(config, dict):
            return next((config[key] for key in _KEYS if isinstance(config.get(key), int)), None)
    return None
