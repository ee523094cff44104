"""The 6,373 functionals of ComParE 2016.

Schuller et al. 2016, "The INTERSPEECH 2016 Computational Paralinguistics Challenge"; the usual input of a classical
baseline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.config import CompareFunctionalsConfig
from emoadapt.features.base import Context
from emoadapt.acoustics.smile import COMPARE, Smile, SmileExtractor
from emoadapt.acoustics.components import WINDOWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CompareFunctionalsExtractor(SmileExtractor):
    """One vector per clip, in openSMILE's order, names and units; clips shorter than 60 ms fail (`too_short`).

    openSMILE's linear prediction of a contour that is constant but for one frame gives no number. Such a clip, digital silence
    with a click in it, fails (`not_finite`).
    """

    table = schema.COMPARE_FUNCTIONALS

    def __init__(self, config: CompareFunctionalsConfig, context: Context) -> None:
        self.smile = Smile(COMPARE, "func", WINDOWS["stock"], schema.COMPARE_FUNCTIONALS_SIZE)

    def pack(self, frames: NDArray[np.float32]) -> dict[str, Any]:
        """`compare_functionals`: (6373,) float32."""
        return {"compare_functionals": frames[0]}
