"""Cosine distance between embeddings before and after fine-tuning (Goncalves & Busso 2025, Fig. 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array

QUESTION = "embeddings"
LABEL = "cosine distance"
LOWER_IS_BETTER = True
RANGE = (0.0, 2.0)
ORDER = 1
DIGITS = 4


def score(tuned: NDArray[np.generic], start_point: NDArray[np.generic]) -> Array:
    """Cosine distance 1 - cos between matching rows.

    Args:
        tuned: (n, width) pooled last-layer embeddings of the fine-tuned model.
        start_point: (n, width) those of the model fine-tuning began from.

    Returns:
        (n,) in [0, 2]; 1 where an embedding is all zeros and has no direction.
    """
    left = np.asarray(tuned, dtype=np.float64)
    right = np.asarray(start_point, dtype=np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.einsum("nw,nw->n", left, right)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return np.asarray(1.0 - np.clip(cosines, -1.0, 1.0))
