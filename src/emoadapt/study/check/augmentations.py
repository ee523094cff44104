"""Check of augmentations, and of what they and crops cost frozen backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.augmentations.base import Augmenter
from emoadapt.errors import ConfigError, Problem
from emoadapt.schema import SAMPLE_RATE
from emoadapt.study.graph import Graph

if TYPE_CHECKING:
    from emoadapt.config import Study
    from emoadapt.config.augmentations import Augmentation

ATTEMPTS = 30
"""Clips of noise that a chain is tried on: a step of probability 0.3 is left out of all of them once in 44,000 studies."""


def check_augmentations(study: Study, problems: list[Problem]) -> None:
    """Add to `problems` what would stop a training that augments clips."""
    for path, settings in _list_augmented(study).items():
        for section in settings.augmentations:
            if problem := _try_chain(section):
                problems.append(Problem(f"{path}.augment", problem))


def list_frozen_notes(graph: Graph) -> list[str]:
    """Say which frozen backbones run for each batch, because a training changes or crops clips."""
    study, models = graph.study, graph.study.list_models()
    trainings: list[tuple[str, Any, Any, set[tuple[str, str]]]] = [
        *(
            (f"adaptations.{name}", "stage1", settings, {(b, name) for b in study.backbones if name in study.starts(b)})
            for name, settings in study.adaptations.items()
        ),
        *(
            (f"finetunings.{name}", "stage2", settings, {(m.backbone, m.start) for m in models if m.finetuning == name})
            for name, settings in study.finetunings.items()
        ),
    ]
    notes = []
    for path, stage, settings, pairs in trainings:
        frozen = {
            backbone
            for backbone, start in pairs
            if study.list_kept(stage, backbone, start).keys() - graph.list_kept(stage, backbone, start, settings)
        }
        key, reason = ("max_seconds", "states of a whole clip are not those of a crop")
        if getattr(settings, "augmentations", ()):
            key, reason = ("augment", "clips differ from epoch to epoch")
        if frozen:
            notes.append(
                f"{path}.{key}: {reason}, so what is frozen of {', '.join(sorted(frozen))} runs for each batch, and not once for each clip"
            )
    return notes


def _list_augmented(study: Study) -> dict[str, Any]:
    trainings = {f"adaptations.{name}": settings for name, settings in study.adaptations.items()}
    trainings |= {f"finetunings.{name}": settings for name, settings in study.finetunings.items()}
    return {path: settings for path, settings in trainings.items() if getattr(settings, "augmentations", ())}


def _try_chain(section: Augmentation) -> str:
    """What is wrong with an augmentation; empty if nothing."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE, dtype=np.float32)
    try:
        augment = Augmenter([section.model_copy(update={"probability": 1.0})])
        return next(filter(None, (_judge(section, augment(noise, [0, 0, number])) for number in range(ATTEMPTS))), "")
    except ConfigError as error:
        return str(error)
    except Exception as error:
        said = " ".join(str(error).split())
        return f"{section.chain} fails on a second of noise ({type(error).__name__}: {said}); correct it"


def _judge(section: Augmentation, found: Any) -> str:
    """What is wrong with an augmented clip; empty if nothing."""
    if not isinstance(found, np.ndarray) or found.ndim != 1 or not len(found):
        return f"{section.chain} must give samples, (n,) float32, and gives {_describe(found)}; correct it"
    if found.dtype != np.float32:
        return f"{section.chain} must give float32, and gives {found.dtype}; correct it"
    return "" if np.isfinite(found).all() else f"{section.chain} gives samples that are no numbers; correct it"


def _describe(found: Any) -> str:
    shape: Sequence[int] | None = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"shape {tuple(shape)}"
