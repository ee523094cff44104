"""High or low movement of the whole face: the ablation of T2 (Goncalves & Busso 2022, 5.1, SSL 2)."""

from __future__ import annotations

from emoadapt.objectives import landmark_motion

FEATURE = "landmark_motion"
COLUMN = "landmark_motion_whole"
LEVELS = ("motion of the whole face",)


class Objective(landmark_motion.Objective):
    """Whether the centroid of all points moves more than in the mean clip: one binary task."""
