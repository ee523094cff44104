"""Recall of each class: TP / (TP + FN)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Absent, Array, count_classes, rate_classes

QUESTION = "classes"
LABEL = "recall"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
PER_CLASS = True
ORDER = 7


def score(confusion: NDArray[np.generic], absent: Absent = "zero") -> Array:
    """Recall of each class, (..., n_classes)."""
    hits, true, _ = count_classes(confusion)
    return rate_classes(hits, true, true, absent)
