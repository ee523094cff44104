"""The 25 low-level descriptors of eGeMAPSv02, frame by frame.

The target of a frame-level acoustic objective (D25, Sec. V-E, at 50 Hz: `window: stock`, `step_ms: 20`); for what the windows
mean see `emoadapt.features.egemaps`, whose vector is the mean of these frames when windows and step are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.config import EgemapsFramesConfig
from emoadapt.features.base import Context
from emoadapt.acoustics.smile import EGEMAPS, Smile, SmileExtractor, pack_frames
from emoadapt.acoustics.components import WINDOWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EgemapsFramesExtractor(SmileExtractor):
    """Contours of the descriptors; frame i begins i steps after the beginning of the clip."""

    table = schema.EGEMAPS_FRAMES

    def __init__(self, config: EgemapsFramesConfig, context: Context) -> None:
        windows = WINDOWS[config.window]
        if config.step_ms is not None:
            windows = windows._replace(step=config.step_ms / 1000)
        self.step = windows.step
        self.smile = Smile(EGEMAPS, "lld", windows, schema.EGEMAPS_LLD, context.beat)

    def pack(self, frames: NDArray[np.float32]) -> dict[str, Any]:
        """`egemaps_frames`, `n_frames`, `dimension` and `step`."""
        return pack_frames("egemaps_frames", frames, self.step)
