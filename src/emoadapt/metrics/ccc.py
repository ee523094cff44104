"""Concordance correlation coefficient (CCC) of an attribute (Lin 1989, Biometrics 45)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.moments import weigh_moments

QUESTION = "attributes"
LABEL = "CCC"
LOWER_IS_BETTER = False
RANGE = (-1.0, 1.0)
ORDER = 1
CHANCE = 0.0


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
    moments = weigh_moments(predicted, true, np.ones((len(true), 1)) if weights is None else np.asarray(weights))
    spread = moments.spread_predicted + moments.spread_true + moments.difference**2
    with np.errstate(divide="ignore", invalid="ignore"):
        ccc = 2 * moments.covariance / spread
    defined = (moments.pairs > 1) & (spread > moments.tiny_predicted + moments.tiny_true)
    found = np.where(defined, ccc, np.nan)
    return np.asarray(found[0] if weights is None else found)
