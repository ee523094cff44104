"""Macro-averaged precision: the mean precision over all classes of the task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array, mean_defined
from emoadapt.metrics import precision

QUESTION = "classes"
LABEL = "macro-precision"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
ORDER = 9


def score(confusion: NDArray[np.generic]) -> Array:
    """Macro-precision, (...,)."""
    return mean_defined(precision.score(confusion))
