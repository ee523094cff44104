"""Examination of a decoded clip: the same in extraction and in prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emoadapt.media.audio import Recording

CLIPPED_SHARE = 0.01
"""Fewer samples at full scale are ordinary in loud recordings."""
_LARGE_OFFSET = 1638
"""5 % of full scale; speech is never so one-sided."""
_SMALL_OFFSET = 164
"""0.5 % of full scale, which cheap microphones have; a larger one is noted where it exceeds the signal."""


def examine(recording: Recording, min_seconds: float) -> list[str]:
    """Notes on a clip that is used, `<code>: <detail>`.

    Raises:
        ClipError: it is not used: `too_short`, or `silent` (all samples are the same; absent).
    """
    samples, seconds = recording.samples, len(recording.samples) / SAMPLE_RATE
    if seconds < min_seconds:
        raise ClipError("too_short", f"{seconds:.3f} s, at least {min_seconds:g} s are needed")
    lowest, highest = int(samples.min()), int(samples.max())
    if lowest == highest:
        raise ClipError("silent", f"all {len(samples)} samples are {lowest}", absent=True)
    clipped = _note_clipping(samples) if lowest == -32768 or highest == 32767 else None
    band = _note_band(recording.source_rate)
    return [note for note in (*recording.notes, clipped, _note_offset(samples), band) if note]


def _note_clipping(samples: NDArray[np.int16]) -> str | None:
    share = measure_clipping(samples)
    return f"clipped: {share:.1%} of the samples are at full scale" if share >= CLIPPED_SHARE else None


def measure_clipping(samples: NDArray[np.int16]) -> float:
    """Share of the samples (n_samples,) that are at full scale."""
    return float(np.count_nonzero((samples == 32767) | (samples == -32768)) / len(samples))


def _note_offset(samples: NDArray[np.int16]) -> str | None:
    mean = float(samples.mean(dtype=np.float64))
    if abs(mean) < _SMALL_OFFSET:
        return None
    deviation = float(samples.std(dtype=np.float64))
    if abs(mean) < min(_LARGE_OFFSET, deviation):
        return None
    return f"offset: the mean of the samples is {mean:.0f}, their standard deviation {deviation:.0f}"


def _note_band(rate: int) -> str | None:
    if rate >= SAMPLE_RATE:
        return None
    return f"narrow_band: recorded at {rate} Hz, nothing above {rate // 2} Hz"
