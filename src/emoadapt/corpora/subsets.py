"""Low-resource subsets: fewer training clips with the class distribution kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from emoadapt.errors import DataError
from emoadapt.schema import SUBSETS

if TYPE_CHECKING:
    from emoadapt.config import Task

COLUMNS = dict(pl.DataFrame(SUBSETS.empty_table()).schema)
"""`schema.SUBSETS` in polars."""


def draw_subsets(
    splits: pl.DataFrame, task: Task, subset: int | Literal["full"], task_name: str, seed: int = 0
) -> pl.DataFrame:
    """Draw a subset of the training clips in every fold, as often as the task resamples.

    Each draw has a generator of its own, seeded with a hash of task, subset, fold, resampling and `seed`, so that no
    draw depends on how many others there are.

    Args:
        splits: the task's `schema.SPLITS` rows.
        task: its configuration (`resamplings`).
        subset: number of clips, or `full`: all training clips once, as resampling 0.
        task_name: its name.
        seed: another seed gives other draws.

    Returns:
        `schema.SUBSETS` rows sorted by fold, resampling and id.

    Raises:
        DataError: the subset is larger than a fold's training part, or too small to hold every class.
    """
    train = splits.filter(pl.col("split") == "train").sort("fold", "utterance_id")
    draws = []
    for (fold,), rows in train.partition_by("fold", as_dict=True, maintain_order=True).items():
        for resampling in range(1 if subset == "full" else task.resamplings):
            drawn = rows
            if subset != "full":
                try:
                    chosen = draw_subset(rows, subset, _generator(task_name, subset, fold, resampling, seed))
                except DataError as error:
                    raise DataError(
                        f"task {task_name}, fold {fold}: {error}; correct tasks.{task_name}.subsets"
                    ) from None
                drawn = rows.filter(pl.col("utterance_id").is_in(chosen))
            draws.append(drawn.with_columns(resampling=pl.lit(resampling, dtype=pl.Int32)))
    if not draws:
        raise DataError(f"task {task_name}: its splits hold no training clips; correct tasks.{task_name}.split")
    rows = pl.concat(draws)
    return rows.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()).sort(
        "fold", "resampling", "utterance_id"
    )


def draw_subset(labels: pl.DataFrame, size: int, rng: np.random.Generator) -> list[str]:
    """Draw exactly `size` utterances with the class distribution kept by the method of largest remainders.

    Args:
        labels: columns `utterance_id` and `label`; the order of rows does not matter.
        size: number of utterances.
        rng: decides which utterances of a class are taken, not how many.

    Returns:
        Utterance ids, sorted.

    Raises:
        DataError: fewer utterances than `size`, or a class would get none.
    """
    ordered = labels.select("utterance_id", "label").sort("label", "utterance_id")
    quotas = apportion(dict(ordered.group_by("label").len().iter_rows()), size)
    chosen: list[str] = []
    for (label,), rows in ordered.partition_by("label", as_dict=True, maintain_order=True).items():
        picked = rng.choice(len(rows), quotas[str(label)], replace=False)
        chosen += rows["utterance_id"].gather(picked).to_list()
    return sorted(chosen)


def apportion(counts: dict[str, int], size: int) -> dict[str, int]:
    """Share out `size` seats in proportion to class counts: whole parts first, then by largest remainder.

    Equal remainders go to the larger class first, then by name.

    Raises:
        DataError: fewer clips than seats, or a class without a seat.
    """
    total = sum(counts.values())
    if size > total:
        raise DataError(
            f"a subset of {size} clips is wanted and there are {total} to train on; take at most {total} or full"
        )
    quotas = {label: count * size // total for label, count in counts.items()}
    by_remainder = sorted(counts, key=lambda label: (-(counts[label] * size % total), -counts[label], label))
    for label in by_remainder[: size - sum(quotas.values())]:
        quotas[label] += 1
    if empty := sorted(label for label, quota in quotas.items() if quota == 0):
        enough = -(-total // min(counts.values()))
        raise DataError(
            f"a subset of {size} of {total} training clips would hold no clip of class {', '.join(empty)}; "
            f"{enough} clips or more give every class its share"
        )
    return quotas


def _generator(*names: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
