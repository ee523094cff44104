"""Places of results that rules and report share."""

from __future__ import annotations

from pathlib import Path


def name_splits(task: str, partition: int, results: str | Path = "results") -> str:
    """Table of a partition of a task (SPLITS)."""
    return f"{results}/splits/{task}/{partition}.parquet"
