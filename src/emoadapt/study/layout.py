"""Paths of results that rules, commands and report share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoadapt.study.nodes import Setting

WHOLE = "whole"
"""In the place of a run in the name of a classifier that was fitted to all labelled clips."""


def name_splits(task: str, partition: int, results: str | Path = "results") -> str:
    """Path of the table of a partition of a task (SPLITS)."""
    return f"{results}/splits/{task}/{partition}.parquet"


def name_division(task: str, partition: int, results: str | Path = "results") -> str:
    """Path of the same table without the labels of the task's target, as trainings read it."""
    return f"{results}/divisions/{task}/{partition}.parquet"


def name_refit(setting: Setting, results: str | Path = "results") -> str:
    """Folder that holds the folder of a classifier that was fitted once more."""
    return f"{results}/refits/{setting.task}/{setting.model}/{setting.subset}/models"
