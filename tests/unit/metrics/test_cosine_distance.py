"""Cosine distance against scipy and known angles."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from emoadapt.metrics.cosine_distance import score


def test_equals_scipy_row_by_row():
    left, right = np.random.default_rng(3).normal(size=(2, 20, 16)).astype(np.float32)
    expected = [cosine(a.astype(float), b.astype(float)) for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(score(left, right), expected, atol=1e-12)


def test_known_angles():
    left = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 2.0], [1.0, 0.0]])
    right = np.array([[3.0, 0.0], [0.0, 5.0], [-1.0, -1.0], [1.0, 1.0]])
    assert score(left, right) == pytest.approx([0, 1, 2, 1 - 2**-0.5])


def test_zero_vector_has_distance_one():
    assert score(np.zeros((1, 4)), np.ones((1, 4)))[0] == 1
