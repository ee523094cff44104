"""Semantic objective of CARE on the mean of Whisper's frames (Dutta & Ganapathy 2025, Fig. 4, "Whisper-pool")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from emoadapt.objectives.base import Outputs, Regression, name_role
from emoadapt.poolings.base import mean_frames

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "whisper_frames"
COLUMN = "whisper_frames"
LAYOUT = "frames"


class Objective(Regression):
    """Squared error of the semantic encoder's mean over time; the target is the mean over what the crop keeps (chosen)."""

    branch = "semantic"
    headless = True
    normalised = False

    def find_target(self, name: str, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Mean frame (batch, dimension), and which clips have frames (batch,)."""
        batch, role = outputs.batch, name_role(name)
        lengths = batch.lengths[role]
        return mean_frames(batch.streams[role].float(), lengths.clamp_min(1)), batch.present[role] & (lengths > 0)

    def name_engine(self, features: Features) -> str:
        """Whisper's size."""
        return str(features.whisper_frames.model)
