"""Classification scores from confusion counts.

Everything is computed from the counts of a whole test set; nothing is averaged over batches or folds. Averages (macro-F1,
UAR) run over all classes of the task. A class without a true utterance has F1, recall and precision 0, as with
`labels=classes, zero_division=0` in scikit-learn: otherwise a test set that lacks a class would give better scores than
one that has it. `choose_classes` holds this rule, and its one exception.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Absent = Literal["zero", "left out"]
"""Scores of a class without a true utterance: 0, or NaN and no part of any average."""


def choose_classes(true: NDArray[np.generic], absent: Absent = "zero") -> NDArray[np.bool_]:
    """Classes that scores are computed and averaged over.

    Args:
        true: (..., n_classes) true utterances of each class.
        absent: `zero` for test sets and their bootstrap draws: all classes of the task. `left out` for groups within a
            test set (a sex, a speaker): the classes that the group has, since a difference between groups must not come
            from what they were asked to say.

    Returns:
        (..., n_classes); all False where there is no utterance at all.
    """
    present = np.asarray(true) > 0
    if absent == "left out":
        return present
    return np.broadcast_to(present.any(axis=-1, keepdims=True), present.shape)


def score_classes(confusion: NDArray[np.generic], absent: Absent = "zero") -> dict[str, Array]:
    """Per-class F1, recall and precision.

    Args:
        confusion: (..., n_classes, n_classes) counts, rows are true classes.
        absent: as of `choose_classes`.

    Returns:
        Metric name -> (..., n_classes); NaN for classes that `choose_classes` does not choose. A quotient without a
        denominator is 0.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, guessed = counts.sum(axis=-1), counts.sum(axis=-2)
    scores = {
        "f1": _divide(2 * hits, true + guessed),
        "recall": _divide(hits, true),
        "precision": _divide(hits, guessed),
    }
    chosen = choose_classes(true, absent)
    return {name: np.where(chosen, values, np.nan) for name, values in scores.items()}


def score_summary(confusion: NDArray[np.generic], absent: Absent = "zero") -> dict[str, Array]:
    """Macro-F1, UAR, weighted F1 and accuracy.

    Args:
        confusion: (..., n_classes, n_classes) counts, rows are true classes.
        absent: as of `choose_classes`.

    Returns:
        Metric name -> (...,); NaN where there is no utterance at all.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    classes = score_classes(counts, absent)
    true = counts.sum(axis=-1)
    total = true.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "macro_f1": mean_defined(classes["f1"]),
            "uar": mean_defined(classes["recall"]),
            "weighted_f1": np.nansum(classes["f1"] * true, axis=-1) / total,
            "accuracy": np.trace(counts, axis1=-2, axis2=-1) / total,
        }


def _divide(numerator: Array, denominator: Array) -> Array:
    """Quotient; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def mean_defined(values: Array) -> Array:
    """Mean over the last axis, NaN left out; NaN where nothing is defined."""
    with warnings.catch_warnings():
        # An empty slice is an answer here (NaN), not an accident.
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.nanmean(values, axis=-1)
