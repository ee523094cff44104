"""The course of the learning rate.

It follows from the step and the scores so far and from nothing else, so that a run that continues from its checkpoint has the
rates of one that was never killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoadapt.config import Optimisation


def scale_rate(settings: Optimisation, step: int, n_steps: int, scores: Sequence[tuple[float, ...]] = ()) -> float:
    """The learning rate of a step, as a multiple of the one configured.

    Args:
        settings: `schedule`, and its keys.
        step: steps done before this one.
        n_steps: steps of the whole run.
        scores: of the epochs done; the larger tuple is better.
    """
    rising = round(settings.warmup * n_steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    match settings.schedule:
        case "linear":
            return (n_steps - step) / (n_steps - rising)
        case "plateau":
            return settings.plateau_factor ** count_plateaus(scores, settings.plateau_epochs)
        case _:
            return 1.0


def count_plateaus(scores: Sequence[tuple[float, ...]], epochs: int) -> int:
    """How often so many scores in a row were no better than the best before them."""
    found = waited = 0
    for number, score in enumerate(scores):
        waited = 0 if score > max(scores[:number], default=()) else waited + 1
        if waited == epochs:
            found, waited = found + 1, 0
    return found
