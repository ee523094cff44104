"""From a task's configuration to its clips and learner: told apart by classes, or rated by attributes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.training.classification import LabelledClips
from emoadapt.training.regression import RatedClips
from emoadapt.training.runs import TaskClips

if TYPE_CHECKING:
    from emoadapt.config import Study


def load_clips(study: Study, task: str, splits: Path, subsets: Path, usable: Collection[str]) -> TaskClips:
    """Splits and subsets of a task.

    Args:
        study: the configuration.
        task: which of its tasks.
        splits: SPLITS table.
        subsets: SUBSETS table.
        usable: utterances that have the input; others are left out and counted.

    Raises:
        TrainingError: the targets are to be soft, and no clip has votes.
        DataError: a table does not fit.
    """
    config = study.tasks[task]
    if config.attributes:
        return RatedClips(splits, subsets, config.attributes, usable)
    return LabelledClips(splits, subsets, config.classes, usable, soft=study.finetuning.targets == "soft")
