"""Clips that a page shows one by one: drawn at random, of each reason, and outliers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoadapt.exploring.counts import ReasonCount
from emoadapt.exploring.outliers import Outlier

MOST_REASONED, MOST_OUTLIERS = 60, 60
"""Clips that are shown for a reason or as outliers, at most."""
AT_RANDOM = "drawn at random"


def choose_samples(
    pool: Sequence[int],
    drawn: int,
    reasons: Sequence[tuple[int, str]],
    extremes: Sequence[tuple[str, Sequence[tuple[int, float]]]],
    outliers: Sequence[Outlier],
    rng: np.random.Generator,
) -> dict[int, list[str]]:
    """Choose clips to show.

    Args:
        pool: clips to draw from.
        drawn: clips to draw at random.
        reasons: clips with a reason, the more urgent first.
        extremes: from `Lengths.list_extremes`; all are shown.
        outliers: from `find_outliers`.
        rng: draws.

    Returns:
        Clip -> why it is shown, in the order in which they are shown.
    """
    chosen: dict[int, list[str]] = {}
    for clip in np.sort(rng.choice(pool, min(drawn, len(pool)), replace=False)).tolist():
        chosen[clip] = [AT_RANDOM]
    _add(chosen, reasons, MOST_REASONED)
    ends = [(clip, f"one of the {name}") for name, clips in extremes for clip, _ in clips if len(extremes) > 1]
    _add(chosen, ends, len(ends))
    _add(chosen, [(one.clip, one.why) for one in _take_turns(outliers)], MOST_OUTLIERS)
    return chosen


def name_reasons(reasons: Sequence[ReasonCount]) -> list[tuple[int, str]]:
    """Two clips of each reason, with its name."""
    return [(clip, f"{one.feature}: {one.code}") for one in reasons for clip in one.examples[:2]]


def _add(chosen: dict[int, list[str]], wanted: Sequence[tuple[int, str]], most: int) -> None:
    room = len(chosen) + most
    for clip, why in wanted:
        if clip in chosen or len(chosen) < room:
            chosen.setdefault(clip, []).append(why)


def _take_turns(outliers: Sequence[Outlier]) -> list[Outlier]:
    """The farthest of each kind first, then the second of each, and so on."""
    places: dict[str, int] = {}
    keyed = []
    for one in outliers:
        places[one.kind] = places.get(one.kind, 0) + 1
        keyed.append((places[one.kind], one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]
