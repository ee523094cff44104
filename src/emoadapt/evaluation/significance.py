"""Paired t-tests over runs, and bootstrap intervals over test utterances.

The two answer different questions. The t-test asks whether a difference would survive other seeds and
training draws on this very test set; the bootstrap asks whether it would survive other test utterances
for these very runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from emoadapt.evaluation.confusion import Array, score_classes, score_summary
from emoadapt.metrics.f1_bias import score_f1_bias

BOOTSTRAP_METRICS = ("macro_f1", "uar", "weighted_f1", "accuracy", "f1_bias")
"""Metrics with an interval."""

_DRAWS_AT_ONCE = 100


def compare_pairs(
    start: Sequence[float] | Array, baseline: Sequence[float] | Array, draws: Sequence[int] | None = None
) -> float | None:
    """Two-tailed p-value of a paired t-test, that is of a t-test of the differences (`scipy.stats.ttest_1samp`).

    Args:
        start: (n_pairs,) metric of each run.
        baseline: (n_pairs,) metric of the baseline's run with the same resampling and seed.
        draws: (n_pairs,) resampling of each pair. Where there are several, the pairs of each are averaged first: runs
            on the same training clips are not independent, and as single pairs would make p too small.

    Returns:
        The p-value; 1 if all pairs are equal; None with fewer than two pairs (or resamplings averaged), or if all
        differences are the same non-zero number, where the test knows no spread.
    """
    differences = np.asarray(start, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if draws is not None and len(set(draws)) > 1:
        differences = np.array([differences[np.equal(draws, draw)].mean() for draw in sorted(set(draws))])
    if differences.size < 2:
        return None
    if not differences.any():
        return 1.0
    if np.ptp(differences) < 1e-12:
        return None
    return float(stats.ttest_1samp(differences, 0.0, alternative="two-sided").pvalue)


def score_all(confusion: NDArray[np.generic]) -> dict[str, Array]:
    """Every metric of `BOOTSTRAP_METRICS` of (..., n_classes, n_classes) counts."""
    return {**score_summary(confusion), "f1_bias": score_f1_bias(score_classes(confusion)["f1"])}


def place_cells(utterances: NDArray[np.int64], cells: NDArray[np.int64], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Confusion cells of one run as a matrix that multiplies with resampling weights.

    Args:
        utterances: (n_rows,) index of each prediction's utterance; an utterance may come once per fold.
        cells: (n_rows,) true class * n_classes + predicted class.
        shape: (number of cells, number of utterances).

    Returns:
        Sparse (n_cells, n_utterances) float32; entry = predictions of that utterance in that cell.
    """
    ones = np.ones(len(cells), dtype=np.float32)
    return sparse.csr_matrix((ones, (cells, utterances)), shape=shape)


def bootstrap_runs(
    runs: Sequence[sparse.csr_matrix], draws: int, seed: int, keep: NDArray[np.bool_] | None = None
) -> dict[str, Array]:
    """Metrics of every run in every bootstrap draw of the test utterances.

    Utterances are drawn with replacement, without stratification. A draw is the same for all runs, and for
    every call with the same seed and number of utterances, so that differences between calls are paired.

    Args:
        runs: one (n_classes**2, n_utterances) matrix of `place_cells` per run.
        draws: number of bootstrap draws.
        seed: seed of the draws.
        keep: (n_utterances,) False for utterances to leave out of every draw; None = all are used.

    Returns:
        Metric -> (n_runs, draws); NaN in a draw that holds none of the run's utterances.
    """
    n_cells, n_utterances = runs[0].shape
    size = round(n_cells**0.5)
    parts: dict[str, list[Array]] = {metric: [] for metric in BOOTSTRAP_METRICS}
    for weights in draw_weights(n_utterances, draws, np.random.default_rng(seed)):
        if keep is not None:
            weights = weights * keep[:, None]
        counts = np.stack([(run @ weights).T.reshape(-1, size, size) for run in runs])
        for metric, values in score_all(counts).items():
            parts[metric].append(values)
    return {metric: np.concatenate(values, axis=1) for metric, values in parts.items()}


def bound_interval(draws: Array, confidence: float, centre: float | None = None) -> tuple[float, float]:
    """Percentile interval of bootstrap values.

    Args:
        draws: (n_draws,) values; NaN is left out.
        confidence: coverage, for example 0.95.
        centre: move the draws so that their mean is this observed value. For statistics that resampling
            inflates: an absolute difference between classes grows with any noise, and the plain percentile
            interval of the F1 bias often lies wholly above the F1 bias itself.
    """
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    shift = 0.0 if centre is None else centre - float(np.nanmean(draws))
    return float(low) + shift, float(high) + shift


def draw_weights(n_utterances: int, draws: int, generator: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """How often each utterance is in each draw: (n_utterances, up to 100) at a time, to bound memory."""
    for begin in range(0, draws, _DRAWS_AT_ONCE):
        width = min(_DRAWS_AT_ONCE, draws - begin)
        chosen = generator.integers(n_utterances, size=(width, n_utterances))
        chosen += np.arange(width)[:, None] * n_utterances
        counts = np.bincount(chosen.ravel(), minlength=width * n_utterances)
        yield np.ascontiguousarray(counts.reshape(width, n_utterances).T, dtype=np.float32)
