"""CCC against torchmetrics, numpy and values worked out by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.regression import ConcordanceCorrCoef

from emoadapt.metrics.ccc import score


def test_score_by_hand_and_by_weights() -> None:
    x, y = np.array([1.0, 2, 3]), np.array([1.0, 3, 5])
    assert score(x, y) == pytest.approx(8 / 13)
    # Drawn twice is there twice; not drawn is not there; one pair has no correlation.
    weights = np.array([[2, 1, 0], [1, 1, 0], [1, 1, 1]])
    expected = [score(x[[0, 0, 1, 2]], y[[0, 0, 1, 2]]), 8 / 13, np.nan]
    np.testing.assert_allclose(score(x, y, weights), expected)


def test_score_is_that_of_torchmetrics_far_from_0() -> None:
    """With equal means the n - 1 of torchmetrics cancels; far from 0 the sums of squares must not lose the digits."""
    random = np.random.default_rng(0)
    y = random.normal(1000.0, 0.5, 200)
    x = y + random.normal(0, 0.5, 200)
    x += y.mean() - x.mean()
    theirs = ConcordanceCorrCoef()
    theirs.update(torch.tensor(x - 1000), torch.tensor(y - 1000))
    assert score(x, y) == pytest.approx(float(theirs.compute()), abs=1e-6)


def test_constants_have_no_score() -> None:
    constant = np.full(5, 3.3)
    assert np.isnan(score(constant, constant))
    assert score(constant, np.arange(5.0)) == pytest.approx(0)
