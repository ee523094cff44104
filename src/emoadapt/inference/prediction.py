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
"""What one pair of `Prediction.peaks` covers."""


@dataclass(frozen=True)
class Prediction:
    """Emotion of a file, of a window of it, or of a segment.

    `status` is `ok`, or as in the tables of features: `absent` (no audio stream, silence) or `failed`, then with a reason,
    `<code>: <detail>`, and without label. The reason of a prediction that is `ok` holds notes on what is odd about the
    audio, the same as in extraction. `start` and `end`, in s on the clock of a player, are missing where the fault is the file's. A model that rates
    attributes gives `values`, in the scale of the corpus it was trained on, instead of `label` and `probabilities`. One that reads
    text gives the `text` that it has read. A segment has its number of `windows`. `peaks`, (n, 2) int16, are the lowest and the highest
    sample of each `PEAK_SECONDS`, where they are asked for.
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
