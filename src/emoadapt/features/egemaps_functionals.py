"""The 88 functionals of eGeMAPSv02, of which the set is defined by its authors' windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.config import EgemapsFunctionalsConfig
from emoadapt.features.base import Context
from emoadapt.acoustics.smile import EGEMAPS, Smile, SmileExtractor
from emoadapt.acoustics.components import WINDOWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EgemapsFunctionalsExtractor(SmileExtractor):
    """One vector per clip, in openSMILE's order, names and units; clips shorter than 60 ms fail (`too_short`)."""

    table = schema.EGEMAPS_FUNCTIONALS

    def __init__(self, config: EgemapsFunctionalsConfig, context: Context) -> None:
        self.smile = Smile(EGEMAPS, "func", WINDOWS["stock"], schema.EGEMAPS_FUNCTIONALS_SIZE)

    def pack(self, frames: NDArray[np.float32]) -> dict[str, Any]:
        """`egemaps_functionals`: (88,) float32."""
        return {"egemaps_functionals": frames[0]}
