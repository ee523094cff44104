"""F1 bias: how unevenly a model serves the classes (Goncalves & Busso 2025, Section IV-E)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array
from emoadapt.metrics import f1

QUESTION = "classes"
LABEL = "F1 bias"
LOWER_IS_BETTER = True
RANGE = (0.0, 1.0)
CENTRED = True
ORDER = 5
DIGITS = 4


def score(confusion: NDArray[np.generic]) -> Array:
    """F1 bias, (...,)."""
    return average_gaps(f1.score(confusion))


def average_gaps(values: Array) -> Array:
    """Mean over ordered pairs of classes of |F1_g - F1_i|; 0 = all classes alike.

    Args:
        values: (..., n_classes) F1 of all classes of a task, at least two.

    Returns:
        (...,) F1 bias; NaN where there is no utterance.
    """
    left, right = np.triu_indices(values.shape[-1], k=1)
    # The mean over ordered pairs equals the mean over unordered ones: |a - b| = |b - a|.
    return np.asarray(np.abs(values[..., left] - values[..., right]).mean(axis=-1))
