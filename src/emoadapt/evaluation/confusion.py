"""Confusion counts, from which all scores of classes are computed.

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


def count_classes(confusion: NDArray[np.generic]) -> tuple[Array, Array, Array]:
    """Count correct, true and predicted utterances of each class.

    Args:
        confusion: (..., n_classes, n_classes) counts, rows are true classes.

    Returns:
        Three times (..., n_classes).
    """
    counts = np.asarray(confusion, dtype=np.float64)
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def rate_classes(numerator: Array, denominator: Array, true: Array, absent: Absent = "zero") -> Array:
    """A rate of each class, (..., n_classes): 0 without a denominator, NaN for classes that `choose_classes` leaves out."""
    rates = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.where(choose_classes(true, absent), rates, np.nan)


def mean_defined(values: Array) -> Array:
    """Mean over the last axis, NaN left out; NaN where nothing is defined."""
    with warnings.catch_warnings():
        # An empty slice is an answer here (NaN), not an accident.
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=-1))
