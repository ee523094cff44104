"""Semantic objective of CARE on frames of a text encoder (Dutta & Ganapathy 2025, Fig. 4, "RoBERTa-frame")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Frames

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "text_frames"
COLUMN = "text_frames"
LAYOUT = "frames"


class Objective(Frames):
    """Squared error on each frame; a linear layer leads to the width of the encoder where that differs (chosen)."""

    branch = "semantic"
    headless = True

    def name_engine(self, features: Features) -> str:
        """The text encoder."""
        return str(features.text_frames.model)
