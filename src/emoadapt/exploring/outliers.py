"""Outliers: clips with an unusual length, level, or distance to other clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.exploring.levels import Levels
from emoadapt.exploring.maps import Map
from emoadapt.media.levels import CLIPPED_SHARE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Say = Callable[[float, float, float], str]
"""(value, lower quartile, upper quartile) -> sentence."""

FENCE = 3.0
"""Interquartile ranges beyond a quartile from which a value is an outlier (Tukey 1977, outer fences)."""
MOST_OF_A_KIND = 10
"""Outliers of each kind that are listed."""
_FEWEST = 8
"""Number of values below which no outliers are looked for."""


@dataclass(frozen=True)
class Outlier:
    """A clip that is an outlier.

    Args:
        clip: number of the clip.
        kind: `length`, `level`, `clipping`, `silence`, or `position` on the map of a feature, which `why` names.
        why: a sentence.
        excess: how far it lies beyond the fence, in interquartile ranges.
    """

    clip: int
    kind: str
    why: str
    excess: float


def find_outliers(
    seconds: tuple[NDArray[np.int64], NDArray[np.float64]], levels: Mapping[int, Levels], maps: Sequence[Map]
) -> list[Outlier]:
    """List outliers, at most ten of each kind, those with the largest excess first.

    Args:
        seconds: numbers of clips, and their lengths in s.
        levels: clip -> its levels.
        maps: maps of features.
    """
    numbers = np.fromiter(levels, np.int64)
    found = [
        _judge("length", *seconds, lambda v, low, high: f"{v:.2f} s long; half of the clips have {low:.2f} to {high:.2f} s", log=True),
        _judge(
            "level", numbers, [level.rms for level in levels.values()],
            lambda v, low, high: f"{v:.1f} dBFS (RMS); half of the clips have {low:.1f} to {high:.1f}",
        ),
        _judge(
            "silence", numbers, [level.silent for level in levels.values()],
            lambda v, low, high: f"{100 * v:.0f} % of it is silent; half of the clips have {100 * low:.0f} to {100 * high:.0f} %",
        ),
        [
            Outlier(clip, "clipping", f"{100 * level.clipped:.1f} % of its samples are at full scale", level.clipped)
            for clip, level in levels.items()
            if level.clipped >= CLIPPED_SHARE
        ],
    ]  # fmt: skip
    found += [_judge_map(drawn) for drawn in maps]
    return [one for kind in found for one in sorted(kind, key=lambda one: (-one.excess, one.clip))[:MOST_OF_A_KIND]]


def _judge_map(drawn: Map) -> list[Outlier]:
    if not len(drawn.distances):
        return []
    usual = float(np.median(drawn.distances)) or 1.0
    return [
        one
        for one in _judge(
            "position", drawn.clips, drawn.distances,
            lambda v, low, high: f"its nearest clips by {drawn.feature} are {v / usual:.1f} times as far as usual", log=True,
        )
        if drawn.distances[np.searchsorted(drawn.clips, one.clip)] > usual
    ]  # fmt: skip


def _judge(kind: str, clips: ArrayLike, values: ArrayLike, say: Say, *, log: bool = False) -> list[Outlier]:
    """Values beyond the fences, of logarithms where `log`; none where most values are the same."""
    numbers, given = np.asarray(clips, np.int64), np.asarray(values, np.float64)
    if log:
        numbers, given = numbers[given > 0], given[given > 0]
    if len(given) < _FEWEST:
        return []
    scaled = np.log(given) if log else given
    low, high = np.quantile(scaled, [0.25, 0.75])
    if high <= low:
        return []
    excess = np.maximum(low - scaled, scaled - high) / (high - low) - FENCE
    quartiles = (np.exp([low, high]) if log else np.array([low, high])).tolist()
    far = np.flatnonzero(excess > 0)
    return [Outlier(int(numbers[i]), kind, say(float(given[i]), *quartiles), float(excess[i])) for i in far]
