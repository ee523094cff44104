"""Check of augmentations: they can be built, and change a clip without an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.augmentations.base import Augmenter
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ConfigError
from emoadapt.schema import SAMPLE_RATE
from emoadapt.study.graph import Graph

if TYPE_CHECKING:
    from emoadapt.config import Study
    from emoadapt.config.augmentations import Augmentation

ATTEMPTS = 30
"""Clips of noise that a chain is tried on: a step of probability 0.3 is left out of all of them once in 44,000 studies."""


def check_augmentations(study: Study, problems: list[str]) -> None:
    """Add to `problems` what would stop a training that augments clips."""
    for path, settings in _list_augmented(study).items():
        for section in settings.augmentations:
            if problem := _try_chain(section):
                problems.append(f"{path}.augment: {problem}")


def list_augmentation_notes(graph: Graph) -> list[str]:
    """Say whose front end runs for each batch because clips are augmented."""
    notes = []
    for path, settings in _list_augmented(graph.study).items():
        stage: Any = "stage1" if path.startswith("adaptations.") else "stage2"
        frozen = [
            name
            for name, backbone in graph.study.backbones.items()
            if (settings.backbones is None or name in settings.backbones)
            and any(
                backbone.streams[role] == AUDIO
                for start in graph.study.starts(name)
                for role in backbone.list_kept(stage, start)
            )
        ]
        if frozen:
            notes.append(
                f"{path}.augment: clips differ from epoch to epoch, so the frozen front end of {', '.join(frozen)} runs for each "
                "batch, and not once for each clip"
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
