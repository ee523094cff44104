"""High or low movement of upper and of lower face (T2 of Goncalves & Busso 2022, 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "landmark_motion"
COLUMN = "landmark_motion"
LEVELS = ("motion of the upper face", "motion of the lower face")


class Objective(base.Level):
    """Whether each part moves more than in the mean clip: two binary tasks."""

    def name_engine(self, features: Features) -> str:
        """The detector, and the scale of its points."""
        section = features.landmarks
        return f"variance of the centroids of {section.detector}'s landmarks ({features.landmark_motion.scale} scale)"
