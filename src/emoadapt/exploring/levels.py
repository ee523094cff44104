"""Levels of a clip's sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.media.levels import measure_clipping

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME = 512
"""Samples of a frame, 32 ms."""
SILENCE_DB = 40.0
"""dB below the loudest frame of a clip, from which a frame counts as silent."""
FLOOR_DB = -100.0
"""dBFS of digital silence, whose logarithm is not finite."""


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
    powers = _measure_power(samples)
    sizes = np.full(len(powers), FRAME)
    sizes[-1] = len(samples) - FRAME * (len(powers) - 1)
    rms, loudest = np.average(powers, weights=sizes), powers.max()
    peak = max(-int(samples.min()), int(samples.max())) / 32768
    silent = float((powers <= loudest * 10 ** (-SILENCE_DB / 10)).mean())
    return Levels(_to_db(float(np.sqrt(rms))), _to_db(peak), measure_clipping(samples), silent)


def _measure_power(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Mean squares of the frames (n_frames,), full scale being 1; the last frame may be shorter."""
    whole = len(samples) // FRAME * FRAME
    powers = ((samples[:whole].reshape(-1, FRAME) / 32768.0) ** 2).mean(axis=1)
    rest = samples[whole:] / 32768.0
    return np.append(powers, (rest**2).mean()) if len(rest) else powers


def _to_db(value: float) -> float:
    return max(FLOOR_DB, 20 * float(np.log10(value))) if value > 0 else FLOOR_DB
