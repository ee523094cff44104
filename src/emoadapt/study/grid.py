"""Runs of a setting, and the batches that share a process."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

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
    """List the runs of a setting: all folds of each of its trials."""
    return [replace(trial, fold=fold) for trial in list_trials(study, setting) for fold in range(folds)]


def list_trials(study: Study, setting: Setting) -> list[Run]:
    """List the trials of a setting as runs of fold 0: partitions, draws and seeds, crossed or paired.

    A trial is what has one score. `full` has one draw. A deterministic method has one seed, unless its trials are paired: the seeds
    then only name them. Partitions vary slowest, then seeds.
    """
    settings, task = study.finetunings[setting.model.finetuning], study.tasks[setting.task]
    partitions = study.count_partitions(setting.task)
    draws = 1 if setting.subset == "full" else task.resamplings
    if task.trials == "paired":
        trials = max(partitions, draws, 1 if settings.deterministic else len(settings.seeds))
        return [
            # A single partition, draw or seed serves all trials; other numbers that differ were refused (`config.trials`).
            Run(trial % partitions, 0, trial % draws, settings.seeds[trial % len(settings.seeds)])
            for trial in range(trials)
        ]
    return [
        Run(partition, 0, draw, seed)
        for partition in range(partitions)
        for seed in settings.seeds[: 1 if settings.deterministic else None]
        for draw in range(draws)
    ]


def batches(study: Study, setting: Setting, folds: int) -> dict[str, list[Run]]:
    """Batch name -> runs that share one process.

    One more trial, seed or partition changes no full batch: several runs of a partition share no batch with those of another.
    """
    todo, size = list_runs(study, setting, folds), study.runs_per_job
    if len({run.partition for run in todo}) == len(list_trials(study, setting)):
        return {f"b{start // size:03d}": todo[start : start + size] for start in range(0, len(todo), size)}
    found: dict[str, list[Run]] = {}
    for partition, group in groupby(todo, key=lambda run: run.partition):
        runs = list(group)
        prefix = f"p{partition}" if partition else ""
        found |= {f"{prefix}b{start // size:03d}": runs[start : start + size] for start in range(0, len(runs), size)}
    return found
