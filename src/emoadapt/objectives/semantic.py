"""Semantic objective of CARE: the pooled embedding of the transcript (Dutta & Ganapathy 2025, Eq. 1).

The target is of the whole transcript, also where the audio is cropped (authors' code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives.base import Regression

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "text_embedding"
COLUMN = "text_embedding"


class Objective(Regression):
    """Squared error of the semantic encoder's mean over time; masked where there is no transcript.

    A linear layer is added if the dimensions of embedding and encoder differ (chosen).
    """

    branch = "semantic"
    headless = True
    normalised = False

    def name_engine(self, features: Features) -> str:
        """The text encoder."""
        return str(features.text_embedding.model)
