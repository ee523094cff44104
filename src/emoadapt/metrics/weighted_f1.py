"""Weighted F1: mean F1 over classes, weighted by their test utterances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array, count_classes
from emoadapt.metrics import f1

QUESTION = "classes"
LABEL = "weighted F1"
LOWER_IS_BETTER = False
RANGE = (0.0, 1.0)
ORDER = 3


def score(confusion: NDArray[np.generic]) -> Array:
    """Weighted F1, (...,)."""
    _, true, _ = count_classes(confusion)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nansum(f1.score(confusion) * true, axis=-1) / true.sum(axis=-1))
