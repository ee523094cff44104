"""Paths of results that rules, commands and report share."""

from __future__ import annotations

from pathlib import Path


def name_splits(task: str, partition: int, results: str | Path = "results") -> str:
    """Path of the table of a partition of a task (SPLITS)."""
    return f"{results}/splits/{task}/{partition}.parquet"


def name_division(task: str, partition: int, results: str | Path = "results") -> str:
    """Path of the same table without the labels of the task's target, as trainings read it."""
    return f"{results}/divisions/{task}/{partition}.parquet"
