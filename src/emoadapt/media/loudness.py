"""Levels of samples: of a clip on a page, and of a window that may be too quiet to predict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL_SCALE = 32768
"""Of 16-bit samples."""


def measure_power(samples: NDArray[np.int16], frame: int) -> NDArray[np.float64]:
    """Mean squares of consecutive frames.

    Args:
        samples: (n_samples,), at least one.
        frame: samples of a frame; the last frame may be shorter.

    Returns:
        (n_frames,), full scale being 1.
    """
    starts = np.arange(0, len(samples), frame)
    squares = (samples / FULL_SCALE) ** 2
    return np.add.reduceat(squares, starts) / np.diff([*starts, len(samples)])


def to_decibels(power: float, floor: float = -100.0) -> float:
    """Level in dB of full scale (a full-scale sine has -3) of a mean square, no lower than `floor`."""
    return max(floor, 10 * math.log10(power)) if power > 0 else floor
