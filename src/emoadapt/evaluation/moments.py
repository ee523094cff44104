"""Moments of predicted and true values, from which the scores of attributes are computed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array


class Moments(NamedTuple):
    """Moments in each draw, (n_draws,) each; NaN in a draw without pairs.

    Attributes:
        pairs: number of pairs, each counted as often as it is drawn.
        difference: mean of the predicted values minus that of the true ones.
        spread_predicted: their variance over n, not n - 1.
        spread_true: the same of the true values.
        covariance: over n.
        tiny_predicted: variance that rounding leaves of equal numbers of this size.
        tiny_true: the same of the true values.
    """

    pairs: Array
    difference: Array
    spread_predicted: Array
    spread_true: Array
    covariance: Array
    tiny_predicted: Array
    tiny_true: Array


def weigh_moments(predicted: Array, true: Array, weights: NDArray[np.generic]) -> Moments:
    """Compute the moments of all draws at once.

    Args:
        predicted: (n,) values.
        true: (n,) values.
        weights: (n, n_draws) how often each pair counts.
    """
    # The same shift of both changes nothing, and keeps the digits of values far from 0.
    shift = true.mean() if true.size else 0.0
    x, y = predicted - shift, true - shift
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]) @ weights
    pairs = sums[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y, square_x, square_y, product = sums[1:] / pairs
    return Moments(
        pairs,
        mean_x - mean_y,
        square_x - mean_x**2,
        square_y - mean_y**2,
        product - mean_x * mean_y,
        1e-12 * square_x,
        1e-12 * square_y,
    )
