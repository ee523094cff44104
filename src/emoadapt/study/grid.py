"""Runs of a setting, and the batches that share a process."""

from __future__ import annotations

from emoadapt.config import Study
from emoadapt.study.nodes import Run, Setting


def count_gpus(study: Study, setting: Setting | None = None) -> int:
    """Count the GPUs of a training.

    Args:
        study: the study.
        setting: the training on a task; None = Stage 1. A training of no backbone needs none. Tasks with attributes use one, because
            the concordance coefficient is computed over all clips of a batch.
    """
    if study.device == "cpu":
        return 0
    if setting is None:
        return study.gpus_per_job
    if not study.keeps_embeddings(setting.model):
        return 0
    return 1 if study.tasks[setting.task].kind == "attributes" else study.gpus_per_job


def list_runs(study: Study, setting: Setting, folds: int) -> list[Run]:
    """List the runs of a setting: all partitions, folds, draws and seeds.

    `full` has one draw. A deterministic method has one seed. Seeds vary slowest, so that one more seed changes no full batch.
    """
    settings, task = study.finetunings[setting.model.finetuning], study.tasks[setting.task]
    resamplings = 1 if setting.subset == "full" else task.resamplings
    return [
        Run(partition, fold, resampling, seed)
        for seed in settings.seeds[: 1 if settings.deterministic else None]
        for partition in range(task.partitions)
        for resampling in range(resamplings)
        for fold in range(folds)
    ]


def batches(study: Study, setting: Setting, folds: int) -> dict[str, list[Run]]:
    """Batch name -> runs that share one process."""
    todo, size = list_runs(study, setting, folds), study.runs_per_job
    return {f"b{start // size:03d}": todo[start : start + size] for start in range(0, len(todo), size)}
