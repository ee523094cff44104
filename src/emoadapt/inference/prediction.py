"""A prediction: of a file, of a window of it, or of a segment that joins windows. Light."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.errors import ClipError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PEAK_SECONDS = 0.01
"""Seconds that a pair of `Prediction.peaks` covers."""


@dataclass(frozen=True)
class Prediction:
    """Emotion of a file, of a window of it, or of a segment.

    Args:
        file: the file.
        start: begin in s, as a player shows it; None if the fault is one of the whole file.
        end: end in s, as `start`.
        status: `ok`, `absent` (no audio stream, silence) or `failed`, as in the tables of features.
        label: class with the largest probability; None if the status is not `ok`.
        probabilities: class -> probability.
        values: attribute -> value in the scale of the training corpus, of a model that rates attributes; it has no label and no probabilities.
        reason: `<code>: <detail>` if the status is not `ok`, else notes on odd audio, the same as in extraction.
        text: text that the model has read.
        windows: number of windows of a segment.
        peaks: (n, 2) int16, the lowest and the highest sample of each `PEAK_SECONDS`; None unless asked for.
    """

    file: Path
    start: float | None = None
    end: float | None = None
    status: str = "ok"
    label: str | None = None
    probabilities: dict[str, float] | None = None
    values: dict[str, float] | None = None
    reason: str | None = None
    text: str | None = None
    windows: int | None = None
    peaks: NDArray[np.int16] | None = field(default=None, compare=False, repr=False)


def refuse(
    file: Path, times: tuple[float, float] | None, fault: ClipError, peaks: NDArray[np.int16] | None = None
) -> Prediction:
    """State a fault instead of a prediction."""
    start, end = times or (None, None)
    return Prediction(file, start, end, status=fault.status, reason=str(fault), peaks=peaks)
