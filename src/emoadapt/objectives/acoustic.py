"""Acoustic objective of CARE: PASE+, frame by frame (Dutta & Ganapathy 2025, Eq. 2).

Their feature scales them per clip and dimension, so that they are not z-scored again (authors' code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Frames

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "pase_frames"
COLUMN = "pase_frames"
LAYOUT = "frames"


class Objective(Frames):
    """Squared error of a linear layer on the frames of the acoustic encoder."""

    branch = "acoustic"

    def name_engine(self, features: Features) -> str:
        """PASE+, and its weights."""
        return f"PASE+ ({features.pase_frames.weights or 'untrained'})"
