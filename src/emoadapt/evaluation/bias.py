"""F1 bias: how unevenly a model serves the classes (Goncalves & Busso 2025, Section IV-E)."""

from __future__ import annotations

import numpy as np

from emoadapt.evaluation.metrics import Array, mean_defined


def score_f1_bias(f1: Array) -> Array:
    """Mean over ordered pairs of classes of |F1_g - F1_i|; 0 = all classes alike.

    Args:
        f1: (..., n_classes) per-class F1; pairs with a NaN are left out.

    Returns:
        (...,) F1 bias; 0 with a single defined class.
    """
    values = np.asarray(f1, dtype=np.float64)
    size = values.shape[-1]
    left, right = np.triu_indices(size, k=1)
    gaps = np.abs(values[..., left] - values[..., right])
    # The mean over ordered pairs equals the mean over unordered ones: |a - b| = |b - a|.
    single = np.isfinite(values).sum(axis=-1) == 1
    return np.where(single, 0.0, mean_defined(gaps))
