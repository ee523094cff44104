"""High or low speech energy (T1 of Goncalves & Busso 2022, 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "rms"
COLUMN = "rms"
LEVELS = ("RMS energy",)


class Objective(base.Level):
    """Whether a clip has more energy than the mean clip: binary cross-entropy. `energy_rms` takes the median instead."""

    def name_engine(self, features: Features) -> str:
        """The library."""
        return "RMS of librosa's STFT, above or below its mean"
