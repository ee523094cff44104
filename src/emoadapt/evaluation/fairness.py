"""Differences of a model's scores between sexes and between speakers.

A group is scored on its own utterances: macro-F1 over the classes that it has (`confusion.choose_classes`). Groups of few
utterances make no claim and are left out, since the largest difference between small groups is large by chance alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array, mean_defined
from emoadapt.metrics import macro_f1
from emoadapt.metrics import recall as recalls


def measure_gap(values: Array) -> Array:
    """Largest - smallest value over groups.

    Args:
        values: (n_groups, ...); NaN where a group has none.

    Returns:
        (...,); NaN where fewer than two groups have a value.
    """
    known = np.isfinite(values)
    enough = known.sum(axis=0) >= 2
    largest = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    smallest = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    with np.errstate(invalid="ignore"):
        return np.where(enough, largest - smallest, np.nan)


def score_sexes(
    names: Sequence[str], confusion: NDArray[np.int64], sizes: NDArray[np.int64], classes: Sequence[str], smallest: int
) -> Iterator[dict[str, Any]]:
    """Macro-F1 of each sex, the gap between them, and the same of the recall of each class.

    Equal recall of a class whatever the sex is the "equality of opportunity" of Hardt, Price & Srebro (2016), with each
    class in turn as the outcome.

    Args:
        names: sexes.
        confusion: (n_sexes, n_classes, n_classes) counts, rows are true classes.
        sizes: (n_sexes, n_classes) utterances of each true class.
        classes: names of the classes.
        smallest: utterances that a sex, and for a recall a class of it, must have.

    Yields:
        FAIRNESS rows without the columns of the run.
    """
    base = {"grouping": "sex", "label": None}
    large = np.flatnonzero(sizes.sum(axis=1) >= smallest)
    f1 = macro_f1.score(confusion, "left out")
    for place in large.tolist():
        total = int(sizes[place].sum())
        row = {"group": names[place], "metric": "macro_f1", "value": float(f1[place])}
        yield {**base, **row, "n": total, "groups": 1}
    if large.size >= 2:
        row = {"group": None, "metric": "macro_f1_gap", "value": float(measure_gap(f1[large]))}
        yield {**base, **row, "n": int(sizes[large].sum()), "groups": int(large.size)}
    yield from _score_recalls(base, names, confusion, sizes, classes, smallest)


def _score_recalls(
    base: dict[str, Any],
    names: Sequence[str],
    confusion: NDArray[np.int64],
    sizes: NDArray[np.int64],
    classes: Sequence[str],
    smallest: int,
) -> Iterator[dict[str, Any]]:
    recall = np.where(sizes >= smallest, recalls.score(confusion, "left out"), np.nan)
    for place, label in np.argwhere(np.isfinite(recall)).tolist():
        row = {"group": names[place], "metric": "recall", "label": classes[label], "value": float(recall[place, label])}
        yield {**base, **row, "n": int(sizes[place, label]), "groups": 1}
    gaps = measure_gap(recall)
    known = np.isfinite(recall)
    for label in np.flatnonzero(np.isfinite(gaps)).tolist():
        row = {"group": None, "metric": "recall_gap", "label": classes[label], "value": float(gaps[label])}
        yield {**base, **row, "n": int(sizes[known[:, label], label].sum()), "groups": int(known[:, label].sum())}
    if np.isfinite(gaps).any():
        used = known & np.isfinite(gaps)
        row = {"group": None, "metric": "recall_gap", "value": float(mean_defined(gaps))}
        yield {**base, **row, "n": int(sizes[used].sum()), "groups": int(used.any(axis=1).sum())}


def score_speakers(
    names: Sequence[str], confusion: NDArray[np.int64], sizes: NDArray[np.int64], smallest: int
) -> Iterator[dict[str, Any]]:
    """Macro-F1 of each speaker, its standard deviation (n - 1) over speakers, and the lowest.

    Args:
        names: speakers.
        confusion: (n_speakers, n_classes, n_classes) counts, rows are true classes.
        sizes: (n_speakers, n_classes) utterances of each true class.
        smallest: utterances that a speaker must have.

    Yields:
        FAIRNESS rows without the columns of the run.
    """
    base = {"grouping": "speaker", "label": None}
    large = np.flatnonzero(sizes.sum(axis=1) >= smallest)
    f1 = macro_f1.score(confusion, "left out")[large]
    for place, value in zip(large.tolist(), f1, strict=True):
        row = {"group": names[place], "metric": "macro_f1", "value": float(value)}
        yield {**base, **row, "n": int(sizes[place].sum()), "groups": 1}
    if large.size >= 2:
        over_all = {"group": None, "n": int(sizes[large].sum()), "groups": int(large.size)}
        yield {**base, **over_all, "metric": "macro_f1_std", "value": float(np.std(f1, ddof=1))}
        yield {**base, **over_all, "metric": "macro_f1_lowest", "value": float(f1.min())}
