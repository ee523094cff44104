"""O1, speech: the utterance's mean eGeMAPS low-level descriptors (G25, Sec. III-A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Regression

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "egemaps"
COLUMN = "egemaps"


class Objective(Regression):
    """Regression of 25 z-scored descriptors."""

    def name_engine(self, features: Features) -> str:
        """Windows and means."""
        means = ", means over voiced frames" if features.egemaps.means == "voiced" else ""
        return f"openSMILE eGeMAPSv02 ({features.egemaps.window} windows{means})"
