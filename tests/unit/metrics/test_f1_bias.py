"""F1 bias against its definition."""

from itertools import permutations

import numpy as np
import pytest

from emoadapt.metrics.f1_bias import average_gaps


def test_equals_the_formula_over_ordered_pairs():
    f1 = [0.9, 0.2, 0.55, 0.4]
    expected = sum(abs(a - b) for a, b in permutations(f1, 2)) / (4 * 3)
    assert average_gaps(np.array(f1)) == pytest.approx(expected)


def test_hand_worked_values():
    assert average_gaps(np.array([0.5, 0.5, 0.5])) == 0
    assert average_gaps(np.array([1.0, 0.0])) == 1
    assert average_gaps(np.array([0.8, 0.6, 0.1])) == pytest.approx((0.2 + 0.7 + 0.5) / 3)


def test_no_utterances_have_no_bias():
    assert np.isnan(average_gaps(np.array([[0.8, 0.6], [np.nan, np.nan]]))).tolist() == [False, True]
