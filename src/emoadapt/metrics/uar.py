"""Unweighted average recall (UAR), or macro-averaged recall: the mean recall over all classes of the task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array, mean_defined
from emoadapt.metrics import recall

QUESTION = "classes"
LABEL = "UAR"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
ORDER = 2


def score(confusion: NDArray[np.generic]) -> Array:
    """UAR, (...,)."""
    return mean_defined(recall.score(confusion))
