"""P-values against scipy and the textbook."""

import math

import numpy as np
import pytest
from scipy import stats

from emoadapt.evaluation.outcomes import ScoredRun
from emoadapt.evaluation.significance import compare_pairs


def test_p_value_equals_the_textbook_formula():
    a, b = [0.61, 0.58, 0.66, 0.60, 0.63], [0.55, 0.57, 0.59, 0.58, 0.56]
    differences = np.subtract(a, b)
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(5))
    assert compare_pairs(a, b) == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert compare_pairs(b, a) == pytest.approx(compare_pairs(a, b))


def test_p_value_needs_two_pairs_and_spread():
    assert compare_pairs([0.5], [0.4]) is None
    assert compare_pairs([0.5, 0.6], [0.4, 0.5]) is None
    assert compare_pairs([0.5, 0.6], [0.5, 0.6]) == 1.0


def test_runs_of_one_resampling_are_not_independent_pairs():
    # Two draws of training clips, three seeds each, that differ by draw and hardly by seed: as six pairs p would be .03.
    a, b = [0.50, 0.51, 0.52, 0.60, 0.61, 0.62], [0.49, 0.50, 0.50, 0.50, 0.50, 0.51]
    means = [np.mean(np.subtract(a, b)[:3]), np.mean(np.subtract(a, b)[3:])]
    assert compare_pairs(a, b) < 0.05
    assert compare_pairs(a, b, draws(0, 0, 0, 1, 1, 1)) == pytest.approx(stats.ttest_rel(means, [0, 0]).pvalue)
    assert compare_pairs(a, b, draws(1, 1, 1, 0, 0, 0)) > 0.4
    assert compare_pairs(a, b, draws(*[2] * 6)) == pytest.approx(stats.ttest_rel(a, b).pvalue)


def draws(*resamplings):
    return [ScoredRun(0, resampling, seed) for seed, resampling in enumerate(resamplings)]


def test_resamplings_of_a_partition_are_averaged_before_the_test():
    a, b = np.random.default_rng(1).normal(size=(2, 3, 2, 2)) + np.array([0.5, 0])[:, None, None, None]
    runs = [ScoredRun(*place) for place in np.ndindex(3, 2, 2)]
    expected = stats.ttest_rel(a.mean(axis=(1, 2)), b.mean(axis=(1, 2)))
    assert compare_pairs(a.ravel(), b.ravel(), runs) == pytest.approx(expected.pvalue)
    order = np.random.default_rng(2).permutation(12)
    mixed = compare_pairs(a.ravel()[order], b.ravel()[order], [runs[place] for place in order])
    assert mixed == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seed", range(4))
def test_one_tailed_test_equals_scipy(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 6))
    for lower, alternative in [(False, "greater"), (True, "less")]:
        expected = stats.ttest_rel(a, b, alternative=alternative).pvalue
        assert compare_pairs(a, b, None, "greater", lower) == pytest.approx(expected)
    assert compare_pairs(a, b, None, "two-sided", True) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert compare_pairs(a, a, None, "greater") == 1.0
