"""O3, face: the clip's mean facial-expression embedding (G25, Sec. III-C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Regression

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "face_embedding"
COLUMN = "face_embedding"


class Objective(Regression):
    """Regression of the z-scored embedding; masked where no face was seen."""

    def name_engine(self, features: Features) -> str:
        """Detector and network."""
        network = features.face_embedding.network
        name = getattr(network, "file", None) or "an untrained network"
        return f"{name} on faces found by {features.faces.detector}"
