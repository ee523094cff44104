"""The 65 low-level descriptors of ComParE (IS13 to ComParE 2016) and their deltas, frame by frame: the input of G22.

Schuller et al. 2013, "The INTERSPEECH 2013 Computational Paralinguistics Challenge", in openSMILE's configuration of
2016, which mends numerical faults of the one of 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.config import CompareFramesConfig
from emoadapt.features.base import Context
from emoadapt.acoustics.smile import COMPARE, Smile, SmileExtractor, pack_frames
from emoadapt.acoustics.components import WINDOWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CompareFramesExtractor(SmileExtractor):
    """65 contours, then the deltas of each in the same order; frame i begins i steps after the beginning of the clip.

    `paper` sets both framers of openSMILE's configuration to G22's window of 32 ms and step of 16 ms, which is as short for
    its pitch tracker here as it is in `emoadapt.features.egemaps`; `paper_pitch60`, the default, keeps 60 ms for pitch. openSMILE computes two deltas more than contours, past
    the end of the clip; they are left out.
    """

    table = schema.COMPARE_FRAMES

    def __init__(self, config: CompareFramesConfig, context: Context) -> None:
        self.step = WINDOWS[config.window].step
        self.smile = Smile(COMPARE, "lld;lld_de", WINDOWS[config.window], schema.COMPARE_FRAMES_SIZE, context.beat)

    def pack(self, frames: NDArray[np.float32]) -> dict[str, Any]:
        """`compare_frames`, `n_frames`, `dimension` and `step`."""
        return pack_frames("compare_frames", frames, self.step)
