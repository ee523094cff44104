"""Pearson's correlation against scipy and values worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from emoadapt.metrics import ccc
from emoadapt.metrics.pearson import score

ONCE = np.ones((3, 1))


def test_score_by_hand_and_by_weights():
    # Deviations -1, 0, 1 and -2, 1, 1: covariance 3/3, variances 2/3 and 6/3.
    x, y = np.array([1.0, 2, 3]), np.array([0.0, 3, 3])
    assert score(x, y, ONCE) == pytest.approx(np.sqrt(3) / 2)
    # Drawn twice is there twice; not drawn is not there; one pair has no correlation, two pairs lie on a line.
    weights = np.array([[2, 1, 0], [1, 1, 0], [1, 0, 1]])
    expected = [stats.pearsonr(x[[0, 0, 1, 2]], y[[0, 0, 1, 2]]).statistic, 1, np.nan]
    np.testing.assert_allclose(score(x, y, weights), expected)


def test_shift_and_scale_cost_the_ccc_alone():
    x = np.array([1.0, 2, 4])
    assert score(3 * x + 100, x, ONCE) == pytest.approx(1) and score(-x, x, ONCE) == pytest.approx(-1)
    assert ccc.score(3 * x + 100, x) < 0.01


def test_score_is_that_of_scipy_far_from_0_and_bounds_the_ccc():
    random = np.random.default_rng(0)
    y = random.normal(1000.0, 0.5, 200)
    x = y + random.normal(0.2, 0.5, 200)
    assert score(x, y, np.ones((200, 1))) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert ccc.score(x, y) < score(x, y, np.ones((200, 1)))


def test_constants_have_score_0_as_for_the_ccc():
    x, constant = np.array([1.0, 2, 4]), np.full(3, 3.3)
    assert score(constant, x, ONCE) == score(x, constant, ONCE) == 0
