"""Concordance correlation coefficient (CCC) of an attribute (Lin 1989, Biometrics 45)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array

QUESTION = "attributes"
LABEL = "CCC"
LOWER_IS_BETTER = False
RANGE = (-1.0, 1.0)
ORDER = 1


def score(predicted: Array, true: Array, weights: NDArray[np.generic] | None = None) -> Array:
    """CCC of a whole test set, with variances and covariance over n, not n - 1.

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2)

    Args:
        predicted: (n,) values.
        true: (n,) values.
        weights: (n, n_draws) how often each pair counts; None = once.

    Returns:
        (n_draws,), or a scalar array without weights; NaN with fewer than two pairs (counted as often as they are drawn), or
        if all predicted and true values are one and the same number.
    """
    counts = np.ones((len(true), 1)) if weights is None else np.asarray(weights)
    # The same shift of both changes nothing, and keeps the digits of values far from 0.
    shift = true.mean() if true.size else 0.0
    x, y = predicted - shift, true - shift
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]) @ counts
    total = sums[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y, square_x, square_y, product = sums[1:] / total
        spread = square_x - mean_x**2 + square_y - mean_y**2 + (mean_x - mean_y) ** 2
        ccc = 2 * (product - mean_x * mean_y) / spread
    # Of equal numbers, rounding leaves a spread of about this size.
    tiny = 1e-12 * (square_x + square_y)
    found = np.where((total > 1) & (spread > tiny), ccc, np.nan)
    return np.asarray(found[0] if weights is None else found)
