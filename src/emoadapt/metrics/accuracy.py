"""Accuracy: the share of test utterances that are classified correctly.

Each utterance has one label and gets one class, so it is the micro-averaged precision, recall and F1 too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array, count_classes

QUESTION = "classes"
LABEL = "accuracy"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
ORDER = 4


def score(confusion: NDArray[np.generic]) -> Array:
    """Accuracy, (...,)."""
    hits, true, _ = count_classes(confusion)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(hits.sum(axis=-1) / true.sum(axis=-1))
