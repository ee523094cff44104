"""Bootstrap draws against scikit-learn, theory and a plain loop."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from emoadapt.evaluation.outcomes import ClassOutcome, ScoredRun, place_cells
from emoadapt.evaluation.significance import bound_interval
from emoadapt.metrics.base import list_metrics


def sample(runs, draws, seed, keep=None):
    """Scores of runs, given as matrices, in bootstrap draws."""
    scorers = {metric.name: metric.load() for metric in list_metrics("classes") if not metric.per_class}
    outcome = ClassOutcome([ScoredRun(0, 0, seed) for seed in range(len(runs))], scorers, runs)
    if keep is not None:
        outcome = outcome.restrict(range(len(runs)), np.stack([keep] * len(runs)))
    return outcome.sample(draws, seed)


def matrix(labels, guesses, size):
    cells = np.asarray(labels) * size + np.asarray(guesses)
    return place_cells(np.arange(len(cells)), cells, (size * size, len(cells)))


def test_a_draw_equals_scikit_learn_on_the_drawn_utterances():
    generator = np.random.default_rng(0)
    labels, guesses = generator.integers(0, 3, size=(2, 60))
    draws = sample([matrix(labels, guesses, 3)], 7, seed=5)["macro_f1"][0]
    chosen = np.random.default_rng(5).integers(60, size=(7, 60))
    expected = [f1_score(labels[c], guesses[c], average="macro", labels=[0, 1, 2]) for c in chosen]
    np.testing.assert_allclose(draws, expected)


def test_a_draw_without_a_class_is_scored_over_all_classes():
    """One clip of the third class: a third of the draws lack it. The fourth class is missing from the test set."""
    labels, guesses = np.array([0] * 10 + [1] * 10 + [2]), np.array([0] * 12 + [1] * 8 + [2])
    draws = sample([matrix(labels, guesses, 4)], 50, seed=3)
    chosen = np.random.default_rng(3).integers(21, size=(50, 21))
    assert any(2 not in labels[c] for c in chosen)
    average = {"labels": [0, 1, 2, 3], "average": "macro", "zero_division": 0}
    expected = {
        "macro_f1": [f1_score(labels[c], guesses[c], **average) for c in chosen],
        "uar": [recall_score(labels[c], guesses[c], **average) for c in chosen],
    }
    for metric, values in expected.items():
        np.testing.assert_allclose(draws[metric][0], values, err_msg=metric)


def test_accuracy_interval_matches_the_binomial_one():
    n, hits = 2000, 1400
    guesses = np.array([0] * hits + [1] * (n - hits))
    draws = sample([matrix(np.zeros(n, dtype=int), guesses, 2)], 4000, seed=1)["accuracy"][0]
    low, high = bound_interval(draws, 0.95)
    half = 1.96 * math.sqrt(0.7 * 0.3 / n)
    assert low == pytest.approx(0.7 - half, abs=0.002)
    assert high == pytest.approx(0.7 + half, abs=0.002)


def test_draws_are_shared_by_runs_and_calls():
    generator = np.random.default_rng(0)
    labels, guesses = generator.integers(0, 4, size=(2, 250))
    run = matrix(labels, guesses, 4)
    both = sample([run, run], 150, seed=9)["uar"]
    assert (both[0] == both[1]).all()
    assert (sample([run], 150, seed=9)["uar"][0] == both[0]).all()
    assert (sample([run], 150, seed=10)["uar"][0] != both[0]).any()


def test_left_out_utterances_change_nothing():
    labels, guesses = np.random.default_rng(0).integers(0, 3, size=(2, 100))
    keep = np.arange(100) < 60
    kept = sample([matrix(labels, guesses, 3)], 50, 2, keep)["macro_f1"]
    other = guesses.copy()
    other[60:] = (other[60:] + 1) % 3
    assert (sample([matrix(labels, other, 3)], 50, 2, keep)["macro_f1"] == kept).all()
