"""O2, text: the sentiment of what was said (G25, Sec. III-B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.objectives import base

if TYPE_CHECKING:
    from emoadapt.config import Features

FEATURE = "sentiment"
COLUMN = "sentiment"
CLASSES = ("negative", "neutral", "positive")


class Objective(base.Classes):
    """Cross-entropy against the arg-max of the sentiment model's probabilities (G25, Eq. 2)."""

    def name_engine(self, features: Features) -> str:
        """Recogniser and sentiment model."""
        speech, text = features.transcript, features.sentiment
        names = {"whisper": f"Whisper {speech.model}", "corpus": "the corpus"}
        model = text.model if text.engine == "transformers" else text.engine
        return f"{model} on transcripts of {names.get(speech.engine, speech.engine)}"
