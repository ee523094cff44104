"""Runs of a setting, and the batches that share a process."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from emoadapt.study.nodes import Run, Setting

if TYPE_CHECKING:
    from emoadapt.config import Study


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
    then only name them. Partitions vary slowest, then seeds, in ascending order unless they are paired with something.
    """
    settings, task = study.finetunings[setting.model.finetuning], study.tasks[setting.task]
    partitions = study.count_partitions(setting.task)
    draws = 1 if setting.subset == "full" else task.resamplings
    seeds = settings.seeds if task.trials == "paired" and max(partitions, draws) > 1 else sorted(settings.seeds)
    if task.trials == "paired":
        trials = max(partitions, draws, 1 if settings.deterministic else len(seeds))
        return [
            # A single partition, draw or seed serves all trials; other numbers that differ were refused (`config.trials`).
            Run(trial % partitions, 0, trial % draws, seeds[trial % len(seeds)])
            for trial in range(trials)
        ]
    return [
        Run(partition, 0, draw, seed)
        for partition in range(partitions)
        for seed in seeds[: 1 if settings.deterministic else None]
        for draw in range(draws)
    ]


def batches(study: Study, setting: Setting, folds: int) -> dict[str, list[Run]]:
    """Batch name -> runs that share one process.

    A batch holds runs of one partition: one more partition changes no batch, and a seed above the others no full one. One more draw or
    fold changes batches if there are several seeds. Where a partition has too few runs to fill a batch and there are many partitions, a
    batch holds a run of each of several partitions: one more partition, or a seed above the others, changes no full batch then.
    """
    size = study.runs_per_job
    by_partition = [
        list(group) for _, group in groupby(list_runs(study, setting, folds), key=lambda run: run.partition)
    ]
    if max(map(len, by_partition)) < size <= len(by_partition):
        # The n-th runs of all partitions.
        rows = [[run for run in row if run is not None] for row in zip_longest(*by_partition)]
        prefixes = [f"r{number}" if number else "" for number in range(len(rows))]
    else:
        rows = by_partition
        prefixes = [f"p{row[0].partition}" if row[0].partition else "" for row in rows]
    return {
        f"{prefix}b{start // size:03d}": row[start : start + size]
        for prefix, row in zip(prefixes, rows, strict=True)
        for start in range(0, len(row), size)
    }
