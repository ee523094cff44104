"""Each model's mean, interval, and difference from its baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.outcomes import Outcome
from emoadapt.evaluation.significance import Alternative, bound_interval, compare_pairs
from emoadapt.metrics.base import Metric, find_metric
from emoadapt.study.nodes import ORIGINAL, Model

if TYPE_CHECKING:
    from emoadapt.config import Report


@dataclass(frozen=True)
class Scoring:
    """How models are compared and judged.

    Attributes:
        bootstrap: draws of test utterances for the intervals.
        confidence: coverage of the intervals.
        alternative: of the t-tests.
        group_clips: test utterances that a group must have to be judged for fairness.
        baseline: model that all others are compared with; None = none.
        named: further comparisons, (model, its baseline); made wherever both were trained on as many clips.
    """

    bootstrap: int = 1000
    confidence: float = 0.95
    alternative: Alternative = "two-sided"
    group_clips: int = 10
    baseline: Model | None = None
    named: Sequence[tuple[Model, Model]] = ()

    @classmethod
    def of(cls, report: Report, named: Sequence[tuple[Model, Model]]) -> Scoring:
        """As a study's report wants it."""
        baseline = None if report.baseline is None else Model.parse(report.baseline)
        return cls(report.bootstrap, report.confidence, report.alternative, report.group_clips, baseline, named)


class Sampled(NamedTuple):
    """All runs of one setting, and their scores in every bootstrap draw."""

    outcome: Outcome
    samples: Mapping[str, Array]


def compare_all(outcomes: Mapping[Model, Outcome], seed: int, scoring: Scoring) -> Iterator[dict[str, Any]]:
    """COMPARISONS rows of models that were trained on as many clips: one per model, baseline and score.

    Args:
        outcomes: model -> its runs on one test corpus.
        seed: of the bootstrap draws.
        scoring: how they are compared.
    """
    sampled = {model: Sampled(outcome, outcome.sample(scoring.bootstrap, seed)) for model, outcome in outcomes.items()}
    metrics = {name: find_metric(name) for own in sampled.values() for name in own.samples}
    for model, own in sampled.items():
        described = {name: _describe_score(own, name, metric, scoring.confidence) for name, metric in metrics.items()}
        size = int(own.outcome.seen.any(axis=0).sum())
        for baseline in _find_baselines(model, list(sampled), scoring):
            against: Mapping[str, dict[str, Any]] = {}
            if baseline is not None:
                against = compare_outcomes(own, sampled[baseline], metrics, seed, scoring)
            for name, values in described.items():
                yield {
                    **model._asdict(),
                    "baseline_backbone": baseline and baseline.backbone,
                    "baseline": baseline and baseline.start,
                    "baseline_finetuning": baseline and baseline.finetuning,
                    "metric": name,
                    **values,
                    **against.get(name, {}),
                    "n": size,
                }


def _find_baselines(model: Model, models: Sequence[Model], scoring: Scoring) -> list[Model | None]:
    """What a model is compared with: its original (None without one), the study's baseline, and what tables name."""
    original = model._replace(start=ORIGINAL)
    found: list[Model | None] = [original if model != original and original in models else None]
    wanted = [] if scoring.baseline is None else [scoring.baseline]
    wanted += [other for subject, other in scoring.named if subject == model]
    found += [other for other in wanted if other != model and other in models]
    return list(dict.fromkeys(found))


def _describe_score(own: Sampled, name: str, metric: Metric, confidence: float) -> dict[str, Any]:
    """n_runs, mean, std, low, high."""
    values = own.outcome.scores[name]
    centre = float(values.mean()) if metric.centred else None
    low, high = bound_interval(own.samples[name].mean(axis=0), confidence, centre)
    return {
        "n_runs": values.size,
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if values.size > 1 else None,
        "low": metric.clip(low),
        "high": metric.clip(high),
    }


def compare_outcomes(
    own: Sampled, baseline: Sampled, metrics: Mapping[str, Metric], seed: int, scoring: Scoring
) -> dict[str, dict[str, Any]]:
    """Score -> n_pairs, difference and its interval, p-value; over the runs that both have, and the utterances of each pair.

    Args:
        own: runs of a model.
        baseline: those that they are compared with, utterances numbered alike.
        metrics: score -> its metric.
        seed: of the bootstrap draws.
        scoring: how they are compared.
    """
    ours, theirs = own.outcome, baseline.outcome
    places = [(place, theirs.runs.index(run)) for place, run in enumerate(ours.runs) if run in theirs.runs]
    places = [(left, right) for left, right in places if (ours.seen[left] & theirs.seen[right]).any()]
    if not places:
        return {name: {"n_pairs": 0} for name in metrics}
    left, right = (list(side) for side in zip(*places, strict=True))
    keep = ours.seen[left] & theirs.seen[right]
    sides = [_choose_runs(own, left, keep, seed, scoring.bootstrap)]
    sides.append(_choose_runs(baseline, right, keep, seed, scoring.bootstrap))
    rows = {}
    for name, metric in metrics.items():
        (values, drawn), (base_values, base_drawn) = sides[0][name], sides[1][name]
        difference = float((values - base_values).mean())
        centre = difference if metric.centred else None
        low, high = bound_interval((drawn - base_drawn).mean(axis=0), scoring.confidence, centre)
        runs = [ours.runs[place] for place in left]
        rows[name] = {
            "n_pairs": len(runs),
            "difference": difference,
            "difference_low": low,
            "difference_high": high,
            "p_value": compare_pairs(values, base_values, runs, scoring.alternative, metric.lower_is_better),
            "alternative": scoring.alternative,
        }
    return rows


def _choose_runs(
    side: Sampled, places: list[int], keep: NDArray[np.bool_], seed: int, draws: int
) -> dict[str, tuple[Array, Array]]:
    """Score -> (n_chosen,) values and (n_chosen, draws) samples of some runs, each over the utterances to keep."""
    if (side.outcome.seen[places] == keep).all():
        return {name: (values[places], side.samples[name][places]) for name, values in side.outcome.scores.items()}
    rest = side.outcome.restrict(places, keep)
    samples = rest.sample(draws, seed)
    return {name: (values, samples[name]) for name, values in rest.scores.items()}
