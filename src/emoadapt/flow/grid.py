"""The grid of fine-tuning runs: settings, runs within a setting, and the batches that share a process."""

from __future__ import annotations

from collections.abc import Sequence

from emoadapt.config import Study
from emoadapt.study.nodes import Run, Setting

HANDCRAFTED = ("handcrafted", "egemaps")
"""Backbone and starting point of the handcrafted baseline."""
CLASSICAL = ("handcrafted", "classical")
"""Those of the classical one."""


def count_gpus(study: Study, backbone: str, task: str | None = None) -> int:
    """GPUs that a training job asks for.

    Args:
        study: the study.
        backbone: what is trained; the baselines without one need none.
        task: what it is fine-tuned on; None = Stage 1. Tasks with attributes take one: a concordance coefficient is of all
            clips of a batch, not a mean over them.
    """
    if study.device == "cpu" or backbone == HANDCRAFTED[0]:
        return 0
    return 1 if task and study.tasks[task].attributes else study.gpus_per_job


def runs(study: Study, setting: Setting, divisions: Sequence[tuple[int, int]]) -> list[Run]:
    """Runs of a setting: every seed, draw of its subset (`full` has one), partition and fold.

    Seeds vary slowest, so that one more seed leaves all full batches as they are. What is deterministic has the first only.

    Args:
        study: the study.
        setting: one of `study.list_settings()`.
        divisions: (partition, fold) pairs of the task's splits.
    """
    how = study.finetunings[setting.model.finetuning]
    resamplings = 1 if setting.subset == "full" else study.tasks[setting.task].resamplings
    return [
        Run(partition, fold, resampling, seed)
        for seed in how.seeds[: 1 if how.deterministic else None]
        for resampling in range(resamplings)
        for partition, fold in divisions
    ]


def batches(study: Study, setting: Setting, divisions: Sequence[tuple[int, int]]) -> dict[str, list[Run]]:
    """Batch name -> runs that share one process."""
    todo, size = runs(study, setting, divisions), study.runs_per_job
    return {f"b{start // size:03d}": todo[start : start + size] for start in range(0, len(todo), size)}
