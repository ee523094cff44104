"""F1 bias: how unevenly a model serves the classes (Goncalves & Busso 2025, Section IV-E)."""

from __future__ import annotations

import numpy as np

from emoadapt.evaluation.confusion import Array


def score_f1_bias(f1: Array) -> Array:
    """Mean over ordered pairs of classes of |F1_g - F1_i|; 0 = all classes alike.

    Args:
        f1: (..., n_classes) F1 of all classes of a task, at least two.

    Returns:
        (...,) F1 bias; NaN where there is no utterance.
    """
    values = np.asarray(f1, dtype=np.float64)
    size = values.shape[-1]
    left, right = np.triu_indices(size, k=1)
    # The mean over ordered pairs equals the mean over unordered ones: |a - b| = |b - a|.
    return np.asarray(np.abs(values[..., left] - values[..., right]).mean(axis=-1))
