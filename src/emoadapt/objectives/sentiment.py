"""O2, text: the sentiment of what was said (G25, Sec. III-B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "sentiment"
COLUMN = "sentiment"


class Objective(base.Objective):
    """Cross-entropy against the arg-max of the sentiment model's probabilities (G25, Eq. 2)."""

    normalised = False

    def name_engine(self, features: Features) -> str:
        """Recogniser and sentiment model."""
        speech, text = features.transcript, features.sentiment
        names = {"whisper": f"Whisper {speech.model}", "corpus": "the corpus"}
        model = text.model if text.engine == "transformers" else text.engine
        return f"{model} on transcripts of {names.get(speech.engine, speech.engine)}"

    def clip_losses(self, prediction: Tensor, target: Tensor, reduction: base.Reduction) -> Tensor:
        """Cross-entropy of each clip; `reduction` concerns regression only."""
        return torch.nn.functional.cross_entropy(prediction, target.argmax(dim=1), reduction="none")

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Share of clips whose arg-max class is met."""
        return {"accuracy": float((prediction.argmax(dim=1) == target.argmax(dim=1)).double().mean())}
