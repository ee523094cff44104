"""Semantic objective of CARE: the pooled embedding of the transcript (Dutta & Ganapathy 2025, Eq. 1).

The target is of the whole transcript, also where the audio is cropped (authors' code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from emoadapt.objectives.base import Regression

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "text_embedding"
COLUMN = "text_embedding"


class Objective(Regression):
    """Squared error of the semantic encoder's mean over time; masked where there is no transcript.

    There is no head, unless the embedding has another dimension than the encoder (chosen).
    """

    branch = "semantic"
    normalised = False

    def head(self, width: int, dimension: int) -> nn.Module:
        """None, or a linear layer where dimensions differ."""
        return nn.Identity() if width == dimension else super().head(width, dimension)

    def name_engine(self, features: Features) -> str:
        """The text encoder."""
        return str(features.text_embedding.model)
