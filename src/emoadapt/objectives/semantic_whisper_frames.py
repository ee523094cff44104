"""Semantic objective of CARE on frames of Whisper's encoder (Dutta & Ganapathy 2025, Fig. 4, "Whisper-frame")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Frames

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "whisper_frames"
COLUMN = "whisper_frames"
LAYOUT = "frames"


class Objective(Frames):
    """Squared error on each frame; a linear layer leads to Whisper's width where that differs (chosen)."""

    branch = "semantic"
    headless = True

    def name_engine(self, features: Features) -> str:
        """Whisper's size."""
        return str(features.whisper_frames.model)
