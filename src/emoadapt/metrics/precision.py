"""Precision of each class: TP / (TP + FP)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Absent, Array, count_classes, rate_classes

QUESTION = "classes"
LABEL = "precision"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
PER_CLASS = True
ORDER = 8


def score(confusion: NDArray[np.generic], absent: Absent = "zero") -> Array:
    """Precision of each class, (..., n_classes)."""
    hits, true, guessed = count_classes(confusion)
    return rate_classes(hits, guessed, true, absent)
