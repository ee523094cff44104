"""High or low speech energy, the alternative to eGeMAPS (G25, Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoadapt.objectives import base

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.config import Features

FEATURE = "egemaps"
COLUMN = "egemaps"

LOUDNESS = 0
"""Place of `Loudness_sma3` in the eGeMAPS vector."""


class Objective(base.Objective):
    """Whether an utterance is louder than the median utterance: binary cross-entropy.

    "The binary task of predicting if the speech energy is higher or lower than the median energy across sentences" (G25,
    text to Fig. 4). How energy is measured is not said there; in G22 it was the RMS of each segment. Here it is eGeMAPS's
    loudness, the mean over time of an estimate of the perceived signal intensity from an auditory spectrum, since the
    vector is there anyway. The median is that of the training part, and with `normalise: corpus` of each corpus, whose recording
    levels differ.
    """

    normalised = True
    centre = "median"

    def select(self, raw: np.ndarray) -> np.ndarray:
        """Loudness alone, (1,)."""
        return raw[LOUDNESS : LOUDNESS + 1]

    def name_engine(self, features: Features) -> str:
        """The descriptor and its windows."""
        return f"openSMILE eGeMAPSv02 loudness ({features.egemaps.window} windows), above or below its median"

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: base.Reduction) -> Tensor:
        """Binary cross-entropy of each clip; `reduction` concerns regression only."""
        loud = (target > 0).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(prediction, loud, reduction="none").mean(dim=1)

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Share of clips whose half is met."""
        return {"accuracy": float(((prediction > 0) == (target > 0)).double().mean())}
