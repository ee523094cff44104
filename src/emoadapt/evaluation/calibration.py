"""Calibration of a classifier's probabilities, and selective classification.

The confidence of a prediction is its largest softmax probability. Calibration asks whether, of the predictions with
confidence p, a share p is right (Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML). Selective
classification asks what is left of the errors when the least confident predictions are handed to somebody else
(Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural Networks", NeurIPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from emoadapt.evaluation.confusion import Array

BINS = 15
"""Bins of confidence, as in Guo et al. (2017)."""

COVERAGES = tuple(step / 20 for step in range(1, 21))
"""Points of the stored accuracy-coverage curves."""

CALIBRATION_METRICS = (
    "ece",
    "adaptive_ece",
    "overconfidence",
    "brier",
    "nll",
    "aurc",
    "excess_aurc",
    "accuracy_80",
    "accuracy_50",
)
"""Metrics of `score_calibration`; lower is better, but for the accuracies and overconfidence (best at 0)."""


@dataclass(frozen=True)
class Bins:
    """Predictions grouped by confidence.

    Attributes:
        count: (n_bins,) predictions of each bin.
        confidence: (n_bins,) their mean confidence, NaN where the bin is empty.
        accuracy: (n_bins,) share of them that is right, NaN where the bin is empty.
    """

    count: NDArray[np.int64]
    confidence: Array
    accuracy: Array


@dataclass(frozen=True)
class Curve:
    """Predictions from the most to the least confident.

    Attributes:
        confidence: (n,) descending.
        accuracy: (n,) share of the first k that is right; predictions of equal confidence count as if each stood for
            the mean of all of them, which is what a random order of them gives on average.
    """

    confidence: Array
    accuracy: Array

    def keep(self, coverage: float) -> tuple[int, float, float]:
        """(predictions kept, their accuracy, their smallest confidence) at a coverage: the first ceil(coverage * n)."""
        # Without the rounding, 0.15 * 20 would be a little more than 3, and 4 be kept.
        kept = max(1, int(np.ceil(round(coverage * self.confidence.size, 9))))
        return kept, float(self.accuracy[kept - 1]), float(self.confidence[kept - 1])


def judge_logits(logits: Array, truth: NDArray[np.int64]) -> tuple[Array, Array]:
    """Confidence of each prediction, and whether it is right.

    Args:
        logits: (n, n_classes).
        truth: (n,) index of the true class.

    Returns:
        (n,) largest softmax probability; (n,) 1 where the arg-max class is the true one, else 0.
    """
    confidence = np.exp(log_softmax(np.asarray(logits, dtype=np.float64), axis=1)).max(axis=1)
    return confidence, (np.argmax(logits, axis=1) == truth).astype(np.float64)


def bin_confidence(confidence: Array, correct: Array, bins: int = BINS) -> Bins:
    """Group predictions into bins of equal width, ((m - 1) / bins, m / bins] as in Guo et al. (2017), equation 3.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,) 1 or 0.
        bins: how many.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Bins(
            count,
            np.bincount(place, weights=confidence, minlength=bins) / count,
            np.bincount(place, weights=correct, minlength=bins) / count,
        )


def bin_evenly(confidence: Array, correct: Array, bins: int = BINS) -> Bins:
    """Group predictions into bins of as equal a number as can be (Nixon et al. 2019, "Measuring Calibration in Deep Learning")."""
    order, right = _sort_confident(confidence, correct)
    groups = [group for group in np.array_split(np.arange(order.size), bins) if group.size]
    return Bins(
        np.array([group.size for group in groups]),
        np.array([order[group].mean() for group in groups]),
        np.array([right[group].mean() for group in groups]),
    )


def score_bins(bins: Bins) -> float:
    """Calibration error: mean |accuracy - confidence| of the bins, weighted by their counts (Guo et al. 2017, equation 3)."""
    gaps = np.abs(bins.accuracy - bins.confidence)
    return float(np.nansum(gaps * bins.count) / bins.count.sum())


def rank_predictions(confidence: Array, correct: Array) -> Curve:
    """Accuracy of the k most confident predictions, for every k.

    Args:
        confidence: (n,) any score that grows with certainty.
        correct: (n,) 1 or 0.
    """
    ordered, right = _sort_confident(confidence, correct)
    return Curve(ordered, np.cumsum(right) / np.arange(1, right.size + 1))


def score_curve(curve: Curve) -> tuple[float, float]:
    """Area under the risk-coverage curve, and its excess over that of a perfect ranking.

    The area is the mean of the selective risk (1 - accuracy) over all coverages 1/n, 2/n, ..., 1. The excess takes away
    what the errors cost even if each were less certain than every right prediction, so that models of different
    accuracy can be compared (Geifman, Uziel & El-Yaniv 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers", ICLR; there the best area is approximated, here it is counted).
    """
    number = curve.accuracy.size
    errors = number * (1 - curve.accuracy[-1])
    ranks = np.arange(1, number + 1)
    best = np.maximum(ranks - (number - errors), 0) / ranks
    area = float(np.mean(1 - curve.accuracy))
    # A perfect ranking may come out as -1e-17.
    return area, max(area - float(best.mean()), 0.0)


def score_calibration(logits: Array, truth: NDArray[np.int64]) -> dict[str, float]:
    """Every metric of `CALIBRATION_METRICS`.

    Args:
        logits: (n, n_classes), n > 0.
        truth: (n,) index of the true class.

    Returns:
        `ece`, `adaptive_ece`: calibration error over bins of equal width and of equal number.
        `overconfidence`: mean confidence - accuracy.
        `brier`: mean over utterances of the sum over classes of (probability - truth)^2, from 0 to 2 (Brier 1950).
        `nll`: mean negative logarithm (nat) of the probability of the true class.
        `aurc`, `excess_aurc`: see `score_curve`.
        `accuracy_80`, `accuracy_50`: accuracy of the most confident 80 % and 50 %.
    """
    confidence, correct = judge_logits(logits, truth)
    logarithms = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    wanted = np.eye(logarithms.shape[1])[truth]
    curve = rank_predictions(confidence, correct)
    area, excess = score_curve(curve)
    return {
        "ece": score_bins(bin_confidence(confidence, correct)),
        "adaptive_ece": score_bins(bin_evenly(confidence, correct)),
        "overconfidence": float(confidence.mean() - correct.mean()),
        "brier": float(np.square(np.exp(logarithms) - wanted).sum(axis=1).mean()),
        "nll": float(-np.take_along_axis(logarithms, truth[:, None], axis=1).mean()),
        "aurc": area,
        "excess_aurc": excess,
        "accuracy_80": curve.keep(0.8)[1],
        "accuracy_50": curve.keep(0.5)[1],
    }


def _sort_confident(confidence: Array, correct: Array) -> tuple[Array, Array]:
    """(confidence, correct), the most confident first; `correct` averaged over equal confidences, so that no order of rows counts."""
    values, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=correct) / counts
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    return values[inverse[order]], means[inverse[order]]
