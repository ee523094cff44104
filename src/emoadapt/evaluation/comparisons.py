"""Each model's mean, interval, and difference from its baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.outcomes import Outcome
from emoadapt.evaluation.significance import Alternative, bound_interval, compare_pairs
from emoadapt.metrics.base import find_metric
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
    for model, own in sampled.items():
        described = _describe_outcome(own, scoring.confidence)
        for baseline in _find_baselines(model, list(sampled), scoring):
            against: Mapping[str, dict[str, Any]] = {}
            if baseline is not None:
                against = _compare_outcomes(own, sampled[baseline], seed, scoring)
            for metric, values in described.items():
                yield {
                    **model._asdict(),
                    "baseline_backbone": baseline and baseline.backbone,
                    "baseline": baseline and baseline.start,
                    "baseline_finetuning": baseline and baseline.finetuning,
                    "metric": metric,
                    **values,
                    **against.get(metric, {}),
                    "n": int(own.outcome.seen.any(axis=0).sum()),
                }


def _find_baselines(model: Model, models: Sequence[Model], scoring: Scoring) -> list[Model | None]:
    """What a model is compared with: its original (None without one), the study's baseline, and what tables name."""
    original = model._replace(start=ORIGINAL)
    found: list[Model | None] = [original if model != original and original in models else None]
    wanted = [] if scoring.baseline is None else [scoring.baseline]
    wanted += [other for subject, other in scoring.named if subject == model]
    found += [other for other in wanted if other != model and other in models]
    return list(dict.fromkeys(found))


def _describe_outcome(own: Sampled, confidence: float) -> dict[str, dict[str, Any]]:
    """Score -> n_runs, mean, std, low, high."""
    rows = {}
    for name, values in own.outcome.scores().items():
        metric = find_metric(name)
        centre = float(values.mean()) if metric.centred else None
        low, high = bound_interval(own.samples[name].mean(axis=0), confidence, centre)
        rows[name] = {
            "n_runs": values.size,
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if values.size > 1 else None,
            "low": metric.clip(low),
            "high": metric.clip(high),
        }
    return rows


def _compare_outcomes(own: Sampled, baseline: Sampled, seed: int, scoring: Scoring) -> dict[str, dict[str, Any]]:
    """Score -> n_pairs, difference and its interval, p-value; over the runs that both have, and the utterances of each pair."""
    ours, theirs = own.outcome, baseline.outcome
    shared = [run for run in ours.runs if run in theirs.runs]
    places = [[side.runs.index(run) for run in shared] for side in (ours, theirs)]
    keep = ours.seen[places[0]] & theirs.seen[places[1]]
    paired = np.flatnonzero(keep.any(axis=1)).tolist()
    if not paired:
        return {name: {"n_pairs": 0} for name in own.samples}
    runs, keep = [shared[place] for place in paired], keep[paired]
    sides = []
    for side, chosen in zip((own, baseline), places, strict=True):
        chosen = [chosen[place] for place in paired]
        if (side.outcome.seen[chosen] == keep).all():
            scores, samples = side.outcome.scores(), side.samples
            sides.append({name: (scores[name][chosen], samples[name][chosen]) for name in scores})
        else:
            rest = side.outcome.restrict(chosen, keep)
            scores, samples = rest.scores(), rest.sample(scoring.bootstrap, seed)
            sides.append({name: (scores[name], samples[name]) for name in scores})
    rows = {}
    for name in own.samples:
        metric = find_metric(name)
        (values, drawn), (base_values, base_drawn) = sides[0][name], sides[1][name]
        difference = float((values - base_values).mean())
        centre = difference if metric.centred else None
        low, high = bound_interval((drawn - base_drawn).mean(axis=0), scoring.confidence, centre)
        rows[name] = {
            "n_pairs": len(runs),
            "difference": difference,
            "difference_low": low,
            "difference_high": high,
            "p_value": compare_pairs(values, base_values, runs, scoring.alternative, metric.lower_is_better),
            "alternative": scoring.alternative,
        }
    return rows
