"""Macro-F1: the mean F1 over all classes of the task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Absent, Array, mean_defined
from emoadapt.metrics import f1

QUESTION = "classes"
LABEL = "macro-F1"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
ORDER = 1


def score(confusion: NDArray[np.generic], absent: Absent = "zero") -> Array:
    """Macro-F1, (...,)."""
    return mean_defined(f1.score(confusion, absent))
