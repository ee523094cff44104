"""F1 of each class: 2 TP / (2 TP + FP + FN)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Absent, Array, count_classes, rate_classes

QUESTION = "classes"
LABEL = "F1"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
PER_CLASS = True
ORDER = 6


def score(confusion: NDArray[np.generic], absent: Absent = "zero") -> Array:
    """F1 of each class, (..., n_classes)."""
    hits, true, guessed = count_classes(confusion)
    return rate_classes(2 * hits, true + guessed, true, absent)
