"""Paired t-tests over runs, and bootstrap intervals over test utterances.

The two answer different questions. The t-test asks whether a difference would survive other seeds, training draws and
partitions; the bootstrap asks whether it would survive other test utterances for these very runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtr

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.outcomes import ScoredRun

Alternative = Literal["two-sided", "greater"]
"""What a test looks for: any difference, or that a model is better than its baseline."""


def compare_pairs(
    values: Sequence[float] | Array,
    baseline: Sequence[float] | Array,
    runs: Sequence[ScoredRun] | None = None,
    alternative: Alternative = "two-sided",
    lower_is_better: bool = False,
) -> float | None:
    """P-value of a paired t-test, that is of a t-test of the differences (`scipy.stats.ttest_1samp`).

    Runs that share training or test clips are not independent, and as single pairs would make p too small. Where there are several
    partitions, the pairs of each are therefore averaged first; else, where there are several resamplings, those of each.
    Random partitions of one corpus still share clips: their p-value is too small rather than too large
    (Nadeau & Bengio 2003, "Inference for the generalization error", Machine Learning 52).

    Args:
        values: (n_pairs,) metric of each run.
        baseline: (n_pairs,) metric of the baseline's run with the same partition, resampling and seed.
        runs: (n_pairs,) the runs; None = each is independent of the others.
        alternative: `greater` is one-tailed: the model is better than its baseline.
        lower_is_better: whether better means smaller.

    Returns:
        The p-value; 1 if all pairs are equal; None with fewer than two pairs (or means of pairs), or if all
        differences are the same non-zero number, where the test knows no spread.
    """
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    groups = _group_runs(runs or ())
    if groups is not None:
        places = [np.array([group == other for other in groups]) for group in sorted(set(groups))]
        differences = np.array([differences[place].mean() for place in places])
    if differences.size < 2:
        return None
    if not differences.any():
        return 1.0
    if np.ptp(differences) < 1e-12:
        return None
    # As `scipy.stats.ttest_1samp`, whose import takes longer than most evaluations.
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(differences.size))
    if alternative == "greater":
        return float(stdtr(differences.size - 1, t if lower_is_better else -t))
    return float(2 * stdtr(differences.size - 1, -abs(t)))


def _group_runs(runs: Sequence[ScoredRun]) -> list[int] | None:
    """What pairs are averaged over before a test: partition or resampling of each run; None where there is one of each."""
    for part in ("partition", "resampling"):
        groups = [getattr(run, part) for run in runs]
        if len(set(groups)) > 1:
            return groups
    return None


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
