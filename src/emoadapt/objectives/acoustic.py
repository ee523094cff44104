"""Acoustic objective of CARE: PASE+, frame by frame (Dutta & Ganapathy 2025, Eq. 2).

Frames are scaled per clip and dimension, and not z-scored with statistics of other clips (authors' code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Frames

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.config import Features

FEATURE = "pase_frames"
COLUMN = "pase_frames"
LAYOUT = "frames"


class Objective(Frames):
    """Squared error of a linear layer on the frames of the acoustic encoder."""

    branch = "acoustic"

    def scale(self, frames: np.ndarray) -> np.ndarray:
        """(x - mean) / (std + 1) over the frames of the clip, per dimension."""
        frames = frames.astype("f4")
        return (frames - frames.mean(axis=0)) / (frames.std(axis=0) + 1)

    def name_engine(self, features: Features) -> str:
        """PASE+, and its weights."""
        return f"PASE+ ({features.pase_frames.weights or 'untrained'})"
