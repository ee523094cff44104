"""Low-resource subsets that keep the distribution of classes or attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from emoadapt.errors import Change, DataError
from emoadapt.schema import SPLITS, SUBSETS
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import write_table
from emoadapt.tasks.divisions import describe_fold

if TYPE_CHECKING:
    from emoadapt.config import Task

COLUMNS = dict(pl.DataFrame(SUBSETS.empty_table()).schema)
"""`schema.SUBSETS` in polars."""


def write_subsets(task: str, subset: str, config: Task, splits: Sequence[Path], output: Path) -> None:
    """Write the training clips that are drawn in every partition, fold and resampling (SUBSETS)."""
    write_table(output, draw_subsets(read_frame(splits, SPLITS), config, subset, task).to_arrow(), SUBSETS)


def draw_subsets(splits: pl.DataFrame, task: Task, subset: int | str, task_name: str, seed: int = 0) -> pl.DataFrame:
    """Draw a subset of the training clips in every fold of every partition, as often as the task resamples.

    Each draw has a generator of its own, seeded with a hash of task, subset (unless draws are nested), fold, resampling,
    `seed` and, where a task has several, (but for the first) partition, so that no draw depends on how many others there are.

    Args:
        splits: the task's `schema.SPLITS` rows.
        task: its configuration (`resamplings`, `draws`).
        subset: number of clips, or `full`: all training clips once, as resampling 0.
        task_name: its name.
        seed: another seed gives other draws.

    Returns:
        `schema.SUBSETS` rows sorted by partition, fold, resampling and id.

    Raises:
        DataError: the subset is larger than a fold's training part, or too small to hold every class.
    """
    train = splits.filter(pl.col("split") == "train").sort("partition", "fold", "utterance_id")
    draws = []
    folds = train.partition_by("partition", "fold", as_dict=True, maintain_order=True)
    for (partition, fold), rows in folds.items():
        for resampling in range(1 if subset == "full" else task.resamplings):
            drawn = rows
            if subset != "full":
                try:
                    # A task of one division trains on the same clips in all of its trials.
                    more = (partition,) if partition and task.partitions > 1 else ()
                    about = "nested" if task.draws == "nested" else subset
                    chosen = _draw(rows, task, int(subset), _generator(task_name, about, fold, resampling, seed, *more))
                except DataError as error:
                    where, key = describe_fold(int(partition), int(fold)), f"tasks.{task_name}.subsets"
                    raise DataError(
                        f"task {task_name}, {where}: {error}; correct {key}", _correct_subsets(key, task, subset, rows)
                    ) from None
                drawn = rows.filter(pl.col("utterance_id").is_in(chosen))
            draws.append(drawn.with_columns(resampling=pl.lit(resampling, dtype=pl.Int32)))
    if not draws:
        raise DataError(f"task {task_name}: its splits hold no training clips; correct tasks.{task_name}.split")
    rows = pl.concat(draws)
    return rows.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()).sort(
        "partition", "fold", "resampling", "utterance_id"
    )


def _correct_subsets(key: str, task: Task, subset: int | str, rows: pl.DataFrame) -> Change:
    """Propose other subsets: one that is too large becomes the largest possible, one that is too small is left out."""
    most = rows.height
    right = [size for size in task.subsets if size != subset]
    if isinstance(subset, int) and subset > most:
        right = [most if size == subset else size for size in task.subsets]
    return Change(key, list(dict.fromkeys(right)) or ["full"])


def _draw(rows: pl.DataFrame, task: Task, size: int, rng: np.random.Generator) -> list[str]:
    if task.draws == "nested":
        if not task.attributes:
            return draw_nested(rows, size, rng)
        strata = _rate_strata(rows, task.attributes).with_columns(label=pl.concat_str(task.attributes, separator="/"))
        return draw_nested(strata, size, rng, every=False)
    if task.attributes:
        return draw_rated_subset(rows, task.attributes, size, rng)
    return draw_subset(rows, size, rng)


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


def draw_rated_subset(
    ratings: pl.DataFrame, attributes: Sequence[str], size: int, rng: np.random.Generator
) -> list[str]:
    """Draw exactly `size` utterances with the distribution of attributes kept: systematically, along strata.

    Strata are the combinations of the attributes' thirds (by rank; not rated is a fourth). Utterances are put in the order of
    the strata, at random inside each, and every n/size-th is taken from a random beginning on: every utterance has the same
    chance, and a stratum gets its share of the seats, rounded up or down (Madow & Madow 1944, systematic sampling). Seats
    cannot be apportioned as to classes, since there may be more strata than seats.

    Args:
        ratings: columns `utterance_id` and the attributes; the order of rows does not matter.
        attributes: whose distribution is kept.
        size: number of utterances.
        rng: decides which utterances are taken.

    Returns:
        Utterance ids, sorted.

    Raises:
        DataError: fewer utterances than `size`.
    """
    total = len(ratings)
    _refuse_too_many(size, total)
    strata = _rate_strata(ratings, attributes)
    shuffled = strata.with_columns(place=pl.Series(rng.permutation(total))).sort(*attributes, "place")
    picked = np.floor((rng.random() + np.arange(size)) * total / size).astype(np.int64)
    # Rounding could reach the end of the list, never beyond it.
    return sorted(shuffled["utterance_id"].gather(np.minimum(picked, total - 1)).to_list())


def _rate_strata(ratings: pl.DataFrame, attributes: Sequence[str]) -> pl.DataFrame:
    """`utterance_id` (sorted) and the third (0 to 2, by rank) that each attribute's value is in; 3 = not rated."""
    thirds = [
        ((pl.col(name).rank("average") - 0.5) * 3 / pl.col(name).count()).floor().cast(pl.Int8).fill_null(3).alias(name)
        for name in attributes
    ]
    return ratings.select("utterance_id", *attributes).sort("utterance_id").with_columns(thirds)


def draw_nested(labels: pl.DataFrame, size: int, rng: np.random.Generator, every: bool = True) -> list[str]:
    """Draw exactly `size` utterances such that a smaller draw with an equal generator is a part of it.

    All utterances stand in one order, in which the k-th of the n of a class has the place (k - 1/2) / n; a draw is its
    beginning. That is the divisor method of Webster and Sainte-Laguë: unlike the largest remainders of `draw_subset` it never
    takes a seat from a class when there are more.

    Args:
        labels: columns `utterance_id` and `label`; the order of rows does not matter.
        size: number of utterances.
        rng: decides which utterances of a class are taken, and in which order.
        every: refuse a draw without a clip of some class.

    Returns:
        Utterance ids, sorted.

    Raises:
        DataError: fewer utterances than `size`, or a class would get none.
    """
    _refuse_too_many(size, len(labels))
    ordered = labels.select("utterance_id", "label").sort("label", "utterance_id")
    places = []
    for (label,), rows in ordered.partition_by("label", as_dict=True, maintain_order=True).items():
        names = rows["utterance_id"].gather(rng.permutation(len(rows))).to_list()
        places += [((2 * k + 1) / (2 * len(names)), -len(names), str(label), name) for k, name in enumerate(names)]
    chosen = sorted(places)[:size]
    if every and (empty := sorted(set(ordered["label"]) - {label for _, _, label, _ in chosen})):
        raise DataError(
            f"a nested subset of {size} of {len(places)} training clips would contain no clip of class {', '.join(empty)}; "
            "use more clips"
        )
    return sorted(name for *_, name in chosen)


def _refuse_too_many(size: int, total: int) -> None:
    if size > total:
        raise DataError(
            f"a subset of {size} clips is larger than the {total} training clips; set at most {total}, or full"
        )


def apportion(counts: dict[str, int], size: int) -> dict[str, int]:
    """Share out `size` seats in proportion to class counts: whole parts first, then by largest remainder.

    Equal remainders go to the larger class first, then by name.

    Raises:
        DataError: fewer clips than seats, or a class without a seat.
    """
    total = sum(counts.values())
    _refuse_too_many(size, total)
    quotas = {label: count * size // total for label, count in counts.items()}
    by_remainder = sorted(counts, key=lambda label: (-(counts[label] * size % total), -counts[label], label))
    for label in by_remainder[: size - sum(quotas.values())]:
        quotas[label] += 1
    if empty := sorted(label for label, quota in quotas.items() if quota == 0):
        enough = -(-total // min(counts.values()))
        raise DataError(
            f"a subset of {size} of {total} training clips would contain no clip of class {', '.join(empty)}; "
            f"{enough} clips or more give every class its share"
        )
    return quotas


def _generator(*names: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
