"""Clips of a target that trainings read without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from emoadapt.study.nodes import Model
from emoadapt.tasks.divisions import UNLABELLED

if TYPE_CHECKING:
    from emoadapt.config import Study, Task


def list_readers(study: Study, task: str) -> list[str]:
    """Fine-tunings that are trained on a task and read its target, or need a model that reads it."""
    names = dict.fromkeys(model.finetuning for model in study.list_models(task))
    return [name for name in names if study.tasks[task].target and _reads_target(study, name)]


def _reads_target(study: Study, finetuning: str) -> bool:
    settings = study.finetunings[finetuning]
    behind = (Model.parse(model).finetuning for model in settings.upstream)
    return getattr(settings, "target", False) or any(_reads_target(study, name) for name in behind)


def describe_target(task: Task, splits: pl.DataFrame) -> str | None:
    """How many clips of the target are read without labels, and how many are tested; None without a target.

    Args:
        task: its configuration.
        splits: `schema.SPLITS` rows.
    """
    if task.target is None:
        return None
    rows = splits.filter(corpus=task.target.corpus).unique(["partition", "utterance_id"])
    counts = {
        part: rows.filter(split=part).group_by("partition").len()["len"].unique().sort().to_list()
        for part in (UNLABELLED, "test")
    }
    read, tested = (f"{found[0]:,}" + (f" to {found[-1]:,}" if len(found) > 1 else "") for found in counts.values())
    return f"{read} clips of {task.target.corpus} are read without labels, and {tested} others are tested"
