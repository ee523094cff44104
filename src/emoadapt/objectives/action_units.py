"""The emotion that action units show (T3 of Goncalves & Busso 2022, 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "action_units"
COLUMN = "emotion"
CLASSES = ("happiness", "sadness", "surprise", "anger", "other")


class Objective(base.Classes):
    """Cross-entropy over happiness, sadness, surprise, anger and other."""

    def name_engine(self, features: Features) -> str:
        """The detector."""
        return f"EMFACS on action units of {features.landmarks.detector}"
