"""High or low speech energy, measured as loudness: the alternative to eGeMAPS (G25, Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.config import Features

FEATURE = "egemaps"
COLUMN = "egemaps"
LEVELS = ("loudness",)

LOUDNESS = 0
"""Place of `Loudness_sma3` in the eGeMAPS vector."""


class Objective(base.Level):
    """Whether an utterance is louder than the median utterance: binary cross-entropy.

    "The binary task of predicting if the speech energy is higher or lower than the median energy across sentences" (G25,
    text to Fig. 4). The paper does not say how energy is measured; in G22 it was the RMS of each segment (the objective `energy_rms`).
    Here it is eGeMAPS's loudness: the mean over time of an estimate of the perceived signal intensity from an auditory spectrum.
    The vector is there anyway. The median is that of the training part, and with `normalise: corpus` of each corpus, whose
    recording levels differ.
    """

    centre = "median"

    def select(self, raw: np.ndarray) -> np.ndarray:
        """Loudness alone, (1,)."""
        return raw[LOUDNESS : LOUDNESS + 1]

    def name_engine(self, features: Features) -> str:
        """The descriptor and its windows."""
        return f"openSMILE eGeMAPSv02 loudness ({features.egemaps.window} windows), above or below its median"
