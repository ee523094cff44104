"""High or low speech energy, measured as RMS (Goncalves & Busso 2022), beside `energy`, which is measured as loudness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "rms"
COLUMN = "rms"
LEVELS = ("RMS energy",)


class Objective(base.Level):
    """Whether an utterance has more energy than the median utterance: binary cross-entropy."""

    centre = "median"

    def name_engine(self, features: Features) -> str:
        """The library."""
        return "RMS of librosa's STFT, above or below its median"
