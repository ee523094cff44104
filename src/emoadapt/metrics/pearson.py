"""Pearson's correlation of predicted and true values of an attribute.

Unlike the CCC, it does not fall with shift and scale of the predictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.moments import weigh_moments

QUESTION = "attributes"
LABEL = "Pearson's r"
LOWER_IS_BETTER = False
RANGE = (-1.0, 1.0)
ORDER = 2
CHANCE = 0.0


def score(predicted: Array, true: Array, weights: NDArray[np.generic]) -> Array:
    """Correlation over a whole test set in each draw.

    cov(x, y) / sqrt(var x * var y)

    Args:
        predicted: (n,) values.
        true: (n,) values.
        weights: (n, n_draws) how often each pair counts.

    Returns:
        (n_draws,); NaN with fewer than two pairs (counted as often as they are drawn); 0, as the CCC, if all predicted values
        or all true ones are the same number.
    """
    moments = weigh_moments(predicted, true, np.asarray(weights))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = moments.covariance / np.sqrt(moments.spread_predicted * moments.spread_true)
    varied = (moments.spread_predicted > moments.tiny_predicted) & (moments.spread_true > moments.tiny_true)
    return np.where(moments.pairs > 1, np.where(varied, np.clip(correlation, -1.0, 1.0), 0.0), np.nan)
