"""Parts of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoadapt.config import Task

PARTS = ("train", "dev", "test")
UNLABELLED = "unlabelled"
"""Part of a target that trainings may read without labels."""


def list_parts(task: Task) -> tuple[str, ...]:
    """Parts that the corpus trained on is divided into."""
    return PARTS[:2] if task.split.by == "all" else PARTS


def describe_fold(partition: int, fold: int) -> str:
    """`fold 3`, in another partition than the first `partition 2, fold 3`."""
    return f"partition {partition}, fold {fold}" if partition else f"fold {fold}"
