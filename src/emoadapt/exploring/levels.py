"""Levels of a clip's sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.media.levels import measure_clipping
from emoadapt.media.loudness import FULL_SCALE, measure_power, to_decibels

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME = 512
"""Samples of a frame, 32 ms."""
SILENCE_DB = 40.0
"""dB below the loudest frame of a clip, from which a frame counts as silent."""


@dataclass(frozen=True)
class Levels:
    """Levels of one clip.

    Args:
        rms: dBFS; a full-scale sine has -3.
        peak: dBFS of the largest sample.
        clipped: share of the samples at full scale.
        silent: share of the frames of 32 ms that are 40 dB or more below the loudest one.
    """

    rms: float
    peak: float
    clipped: float
    silent: float


def measure_levels(samples: NDArray[np.int16]) -> Levels | None:
    """Measure (n_samples,) int16; None of an empty clip."""
    if not len(samples):
        return None
    powers = measure_power(samples, FRAME)
    sizes = np.full(len(powers), FRAME)
    sizes[-1] = len(samples) - FRAME * (len(powers) - 1)
    rms, loudest = np.average(powers, weights=sizes), powers.max()
    peak = max(-int(samples.min()), int(samples.max())) / FULL_SCALE
    silent = float((powers <= loudest * 10 ** (-SILENCE_DB / 10)).mean())
    return Levels(to_decibels(float(rms)), to_decibels(peak**2), measure_clipping(samples), silent)
