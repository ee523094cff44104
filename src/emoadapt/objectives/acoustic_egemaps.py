"""Acoustic objective of CARE on eGeMAPS, frame by frame (Dutta & Ganapathy 2025, Sec. V-E)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Frames

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "egemaps_frames"
COLUMN = "egemaps_frames"
LAYOUT = "frames"


class Objective(Frames):
    """Squared error on the 25 z-scored descriptors of each frame; the statistics are of all frames of the training part (chosen)."""

    branch = "acoustic"
    normalised = True

    def name_engine(self, features: Features) -> str:
        """What computed the descriptors."""
        return "eGeMAPSv02 by openSMILE"
