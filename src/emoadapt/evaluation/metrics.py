"""Classification scores from confusion counts.

Everything is computed from the counts of a whole test set; nothing is averaged over batches or folds. The
averages (macro-F1, UAR) run over the task's classes. A class without a single true utterance in the test
set has neither recall nor F1 and is left out of them (scikit-learn's `balanced_accuracy_score` does the
same); predictions of such a class still count as errors of the class they belong to.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUMMARY_METRICS = ("macro_f1", "uar", "weighted_f1", "accuracy")
"""Metrics of a whole test set, in the order of the tables."""

CLASS_METRICS = ("f1", "recall", "precision")
"""Metrics of one class."""


def count_confusion(labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Count (true, predicted) pairs.

    Returns:
        (n_classes, n_classes) int64, rows are true classes, columns predicted ones, in the order of `classes`.

    Raises:
        KeyError: a label or prediction is not among `classes`.
    """
    position = {name: index for index, name in enumerate(classes)}
    size = len(position)
    cells = [position[label] * size + position[guess] for label, guess in zip(labels, predicted, strict=True)]
    return np.bincount(np.asarray(cells, dtype=np.int64), minlength=size * size).reshape(size, size)


def score_classes(confusion: NDArray[np.generic]) -> dict[str, Array]:
    """Per-class F1, recall and precision.

    Args:
        confusion: (..., n_classes, n_classes) counts, rows are true classes.

    Returns:
        Metric name -> (..., n_classes); NaN for classes without a true utterance. The precision of a class
        that was never predicted is 0.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true = counts.sum(axis=-1)
    guessed = counts.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(guessed > 0, hits / guessed, 0.0)
        scores = {"f1": 2 * hits / (true + guessed), "recall": hits / true, "precision": precision}
    return {name: np.where(true > 0, values, np.nan) for name, values in scores.items()}


def score_summary(confusion: NDArray[np.generic]) -> dict[str, Array]:
    """Macro-F1, UAR, weighted F1 and accuracy.

    Args:
        confusion: (..., n_classes, n_classes) counts, rows are true classes.

    Returns:
        Metric name -> (...,); NaN where there is no utterance at all.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    classes = score_classes(counts)
    true = counts.sum(axis=-1)
    total = true.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "macro_f1": mean_defined(classes["f1"]),
            "uar": mean_defined(classes["recall"]),
            "weighted_f1": np.nansum(classes["f1"] * true, axis=-1) / total,
            "accuracy": np.trace(counts, axis1=-2, axis2=-1) / total,
        }


def mean_defined(values: Array) -> Array:
    """Mean over the last axis, NaN left out; NaN where nothing is defined."""
    with warnings.catch_warnings():
        # An empty slice is an answer here (NaN), not an accident.
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.nanmean(values, axis=-1)
