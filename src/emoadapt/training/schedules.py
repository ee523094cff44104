"""The course of the learning rate.

It follows from the step and the scores so far and from nothing else, so that a run that continues from its checkpoint has the
rates of one that was never killed.
"""

from __future__ import annotations

from collections.abc import Sequence

PLATEAU_EPOCHS = 3
"""Epochs without a better score after which `plateau` lowers the rate."""

PLATEAU_FACTOR = 0.5
"""What it multiplies the rate by."""


def scale_rate(
    schedule: str, warmup: float, step: int, n_steps: int, scores: Sequence[tuple[float, ...]] = ()
) -> float:
    """The learning rate of a step, as a multiple of the one configured.

    Args:
        schedule: `constant`, `linear` (falls to 0 behind the last step) or `plateau`.
        warmup: share of all steps in which the rate rises linearly to 1.
        step: steps done before this one.
        n_steps: steps of the whole run.
        scores: of the epochs done; the larger tuple is better.
    """
    rising = round(warmup * n_steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    if schedule == "linear":
        return (n_steps - step) / (n_steps - rising)
    return PLATEAU_FACTOR ** count_plateaus(scores) if schedule == "plateau" else 1.0


def count_plateaus(scores: Sequence[tuple[float, ...]]) -> int:
    """How often `PLATEAU_EPOCHS` scores in a row were no better than the best before them."""
    found = waited = 0
    for number, score in enumerate(scores):
        waited = 0 if score > max(scores[:number], default=()) else waited + 1
        if waited == PLATEAU_EPOCHS:
            found, waited = found + 1, 0
    return found
