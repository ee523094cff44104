"""Calibration and selective classification against torchmetrics, scikit-learn and sums done by hand."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from emoadapt.evaluation.calibration import (
    CALIBRATION_METRICS,
    bin_confidence,
    bin_evenly,
    judge_logits,
    rank_predictions,
    score_bins,
    score_calibration,
    score_curve,
)


@pytest.fixture(scope="module")
def drawn():
    """(logits, truth) of 700 predictions of five classes, right more often than not and too sure of themselves."""
    generator = np.random.default_rng(3)
    truth = generator.integers(5, size=700)
    return 3 * generator.normal(size=(700, 5)) + 3 * np.eye(5)[truth], truth


def test_calibration_error_equals_torchmetrics(drawn):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, truth = drawn
    confidence, correct = judge_logits(logits, truth)
    probabilities = torch.tensor(softmax(logits, axis=1))
    for bins in (5, 15):
        expected = multiclass_calibration_error(probabilities, torch.tensor(truth), num_classes=5, n_bins=bins)
        assert score_bins(bin_confidence(confidence, correct, bins)) == pytest.approx(float(expected), abs=1e-6)


def test_brier_score_and_likelihood_equal_scikit_learn(drawn):
    logits, truth = drawn
    scores = score_calibration(logits, truth)
    probabilities = softmax(logits, axis=1)
    assert tuple(scores) == CALIBRATION_METRICS
    assert scores["brier"] == pytest.approx(
        brier_score_loss(truth, probabilities, labels=range(5), scale_by_half=False)
    )
    assert scores["nll"] == pytest.approx(log_loss(truth, probabilities, labels=range(5)))
    right = probabilities.argmax(axis=1) == truth
    assert scores["overconfidence"] == pytest.approx(probabilities.max(axis=1).mean() - right.mean())
    surest = np.argsort(-probabilities.max(axis=1))
    assert scores["accuracy_80"] == pytest.approx(right[surest[:560]].mean())
    assert scores["accuracy_50"] == pytest.approx(right[surest[:350]].mean())


def test_bins_by_hand():
    # Two bins: (0, .5] holds .5 (wrong) and .4 (right), (.5, 1] holds .6 (right), 1. (right), .8 (wrong).
    confidence, correct = np.array([0.5, 0.6, 1.0, 0.4, 0.8]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    bins = bin_confidence(confidence, correct, 2)
    assert bins.count.tolist() == [2, 3]
    assert bins.confidence.tolist() == pytest.approx([0.45, 0.8])
    assert bins.accuracy.tolist() == pytest.approx([1 / 2, 2 / 3])
    assert score_bins(bins) == pytest.approx((2 * 0.05 + 3 * (0.8 - 2 / 3)) / 5)
    # By number: {1., .8, .6} and {.5, .4}.
    even = bin_evenly(confidence, correct, 2)
    assert even.count.tolist() == [3, 2]
    assert score_bins(even) == pytest.approx((3 * (0.8 - 2 / 3) + 2 * 0.05) / 5)


def test_empty_bins_and_more_bins_than_predictions_count_nothing():
    confidence, correct = np.array([0.95, 0.35]), np.array([1.0, 0.0])
    assert bin_confidence(confidence, correct).count.sum() == 2
    assert score_bins(bin_confidence(confidence, correct)) == pytest.approx((0.05 + 0.35) / 2)
    assert score_bins(bin_evenly(confidence, correct)) == pytest.approx((0.05 + 0.35) / 2)


def test_area_by_hand():
    # Right, wrong, right, wrong from the surest on: risks 0, 1/2, 1/3, 2/4. Perfectly ranked: 0, 0, 1/3, 2/4.
    curve = rank_predictions(np.array([0.6, 0.9, 0.8, 0.7]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert curve.accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    area, excess = score_curve(curve)
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert excess == pytest.approx((1 / 2) / 4)
    assert curve.keep(0.5) == (2, pytest.approx(1 / 2), 0.8)
    assert curve.keep(0.51)[0] == 3


def test_a_perfect_ranking_has_no_excess():
    _, excess = score_curve(rank_predictions(np.linspace(1, 0, 50), np.repeat([1.0, 0.0], [37, 13])))
    assert excess == pytest.approx(0, abs=1e-12)


def test_coverages_are_exact_numbers_of_clips():
    curve = rank_predictions(np.linspace(1, 0, 20), np.ones(20))
    assert [curve.keep(step / 20)[0] for step in range(1, 21)] == list(range(1, 21))


def test_equal_confidences_do_not_depend_on_the_order_of_rows():
    confidence, correct = np.full(6, 0.4), np.array([1.0, 0, 0, 1, 0, 0])
    curve = rank_predictions(confidence, correct)
    assert curve.accuracy.tolist() == pytest.approx([1 / 3] * 6)
    assert score_bins(bin_evenly(confidence, correct, 3)) == pytest.approx(0.4 - 1 / 3)
