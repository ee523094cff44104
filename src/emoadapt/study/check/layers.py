"""Check of the layers that trainings ask for, against the number that backbones have."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from emoadapt.config.training import list_values
from emoadapt.errors import Change, EmoadaptError, Problem, name_count
from emoadapt.fixes import lower_layer, name_layers
from emoadapt.weights.checkpoints import read_outline
from emoadapt.weights.registry import locate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from emoadapt.config import Study
    from emoadapt.config.backbones import Backbone

_KEYS = ("encoder_layers", "num_hidden_layers", "n_layers")
"""Keys of a `config.json` with the number of layers; of an encoder with a decoder the first counts."""
_FAIRSEQ_LAYER = re.compile(r"(?:^|w2v_model\.)encoder\.layers\.(\d+)\.")
"""Weights of a layer in a checkpoint of fairseq; a model that was fine-tuned holds its encoder as `w2v_model`."""


def find_missing_layers(study: Study) -> list[Problem]:
    """Say which layers are asked for that a backbone lacks.

    Weights that are missing, or that do not say how many layers they have, are passed over: the job looks again.
    """
    problems: list[Problem] = []
    for name, backbone in study.backbones.items():
        parts = {part: _find_depth(study, study.backbones[one]) for part, one in backbone.joined.items()}
        problems += [problem.below(f"backbones.{name}") for problem in backbone.check_depths(parts)]
        if (depth := _find_depth(study, backbone)) is not None:
            problems += _compare(study, name, depth - 1)
    return list(dict.fromkeys(problems))


def _compare(study: Study, name: str, layers: int) -> list[Problem]:
    """Problems of a backbone with a number of layers above the transformer's input."""
    trainings = {f"adaptations.{a}": study.adaptations[a] for a in study.starts(name)[1:]}
    models = [model for model in study.list_models() if model.backbone == name]
    trainings |= {f"finetunings.{model.finetuning}": study.finetunings[model.finetuning] for model in models}
    problems = [
        Problem(
            f"{path}.layer",
            f"layer {layer} is asked for, and backbone {name} has {name_layers(layers)}; choose another, or name other "
            f"backbones in {path}.backbones",
            *lower_layer(f"{path}.layer", getattr(settings, "layer", None), layers),
            Change(f"{path}.backbones", ["NAME"]),
        )
        for path, settings in trainings.items()
        for layer in list_values(getattr(settings, "layer", None))
        if isinstance(layer, int) and layer > layers
    ]
    return problems + [
        Problem(
            f"{path}.train_layers",
            f"{number} are to be trained, and backbone {name} has {name_count(layers, 'layer')}; set `all` or at most {layers}",
            Change(f"{path}.train_layers", layers),
        )
        for path, settings in {f"backbones.{name}": study.backbones[name], **trainings}.items()
        if isinstance(number := getattr(settings, "train_layers", None), int) and number > layers
    ]


def _find_depth(study: Study, backbone: Backbone) -> int | None:
    """Layers of a backbone, the transformer's input among them; None where neither the study nor its weights say it."""
    if backbone.joined:
        return backbone.join_depths(
            {part: _find_depth(study, study.backbones[name]) for part, name in backbone.joined.items()}
        )
    if backbone.depth is not None or not (found := backbone.list_weights()):
        return backbone.depth
    (weights, revision), *_ = found
    try:
        layers = count_layers(locate(weights, study.weights_folder, revision))
    except EmoadaptError:
        return None
    return None if layers is None else layers + 1


def count_layers(weights: Path) -> int | None:
    """Layers of weights above the transformer's input, without loading them; None where they do not say it.

    Args:
        weights: folder in Hugging Face format, `.pt` file of OpenAI's Whisper, or checkpoint of fairseq.
    """
    if weights.is_file():
        found = read_outline(weights)
        sections = found if isinstance(found, dict) else {}
        config, names = sections.get("dims"), sections.get("model")
        if isinstance(config, dict):
            return _take_number(config, ("n_audio_layer",))
        places = {match[1] for name in names or () if (match := _FAIRSEQ_LAYER.search(str(name)))}
        return len(places) or None
    try:
        config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _take_number(config, _KEYS) if isinstance(config, dict) else None


def _take_number(config: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)
