"""Refusal of a training because of leaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.tasks.leaks import judge_leaks, refuse_leaks

if TYPE_CHECKING:
    from emoadapt.config import Study


def check_training(study: Study, task: str, start: str, splits: Sequence[Path], manifests: Sequence[Path]) -> None:
    """Refuse to train from a starting point on a task, if a leak that concerns this training is refused.

    Args:
        study: the study.
        task: name of the task.
        start: starting point; for an adaptation, Stage 1 is looked at as well.
        splits: SPLITS tables of the task, or of some of its partitions.
        manifests: manifest shards of the task's corpora, and of those of the adaptation.

    Raises:
        CorpusError: as `refuse_leaks`.
    """
    adaptations = [start] if start in study.adaptations else []
    refuse_leaks(judge_leaks(study, task, adaptations, splits, manifests, only_refused=True))
