"""Sentiment of the transcript: negative, neutral or positive."""

from __future__ import annotations

from collections.abc import Sequence
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.errors import ModelError
from emoadapt.features.base import Context, Extractor, FeatureSection, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.transcription.texts import check_transcript, group_equal
from emoadapt.weights.registry import resolve

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

INPUTS = ("transcript",)
CONDITIONAL_LIBRARIES = ("torch", "transformers", "vaderSentiment")
TERMS = None
CHUNK_ROWS = 256
JOB = {"memory_mb": 4000, "minutes": 120}

TABLE = schema.make_feature_table(
    schema.column(
        "sentiment", pa.list_(pa.float32(), len(schema.SENTIMENTS)), "(3,) probability of negative, neutral, positive"
    ),
    schema.column("sentiment_label", pa.string(), "arg-max class"),
)

VADER_THRESHOLD = 0.05
"""Of the compound score, from VADER's documentation: >= positive, <= -0.05 negative, else neutral."""


class Config(FeatureSection):
    """Sentiment of the transcript."""

    engine: Literal["transformers", "vader"] = "transformers"
    model: str = "cardiffnlp/twitter-xlm-roberta-base-sentiment"
    """Hub id, or folder relative to `models_dir`."""
    batch_size: int = Field(32, ge=1)
    doubtful: Literal["absent", "note"] = "absent"
    """Doubtful transcripts that were kept (`features.transcript.doubtful: note`). `absent`: no sentiment, so no target. `note`: compute
    it, with a note."""

    def describe_network(self) -> Network:
        """The classifier, or VADER's rules."""
        if self.engine == "vader":
            return Network("sentiment", self.engine, "rules", carried=True, stand_in="VADER's word list for sentiment")
        return Network("sentiment", self.engine, "pretrained", self.model)

    def list_libraries(self) -> tuple[str, ...]:
        """The classifier's."""
        return {"transformers": ("tokenizers", "transformers", "torch"), "vader": ("vaderSentiment",)}[self.engine]

    def list_idle_keys(self) -> set[str]:
        """How many texts are read at once, and for VADER the model."""
        return {"batch_size", *(["model"] if self.engine == "vader" else [])}

    def needs_gpu(self) -> bool:
        """A network does."""
        return self.engine == "transformers"


def load(config: Config, context: Context) -> Extractor:
    """Load the classifier.

    Raises:
        ModelError: the weights cannot be had, or do not tell negative, neutral and positive apart.
    """
    return SentimentExtractor(config, context)


class SentimentExtractor:
    """Classifies each transcript with a `transformers` classifier, or with VADER's English lexicon.

    VADER (Hutto & Gilbert 2014) decides by thresholds on a compound score and has no class probabilities (its `neg`,
    `neu` and `pos` are the shares of the words, not of the classes): its vector is the one-hot of the class. A text in another
    language than English is absent for VADER (`language_not_supported`).

    A network reads the beginning of a text that is longer than it can take (512 tokens, some two minutes of speech); the row
    is ok and says so (`truncated`). A clip without words has no row to compute: its transcript is absent, and so is this.

    A transcript with a note gives a sentiment with the note `doubtful_transcript`. One whose words may be invented (`texts.DOUBTS`) gives
    none unless `doubtful: note` is set.
    """

    def __init__(self, config: Config, context: Context) -> None:
        """Load the classifier.

        Raises:
            ModelError: the weights cannot be had, or do not tell negative, neutral and positive apart.
        """
        self.doubtful = config.doubtful
        self.classify = _Vader() if config.engine == "vader" else _Transformer(config, context)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`sentiment` (3,) in the order of `schema.SENTIMENTS`, `sentiment_label`, and a note in `reason`, from each row's `text`."""
        results = [guard(self._prepare, row) for row in rows]
        usable = [result for result in results if "status" not in result]
        for result, values in zip(usable, self.classify([result.pop("read") for result in usable]), strict=True):
            result |= {"sentiment": values, "sentiment_label": schema.SENTIMENTS[int(values.argmax())]}
        return results

    def _prepare(self, row: dict[str, Any]) -> dict[str, Any]:
        """`read`, what the classifier reads of a transcript, and `reason`, notes on what is odd about it."""
        reader, languages = ("VADER", ("en",)) if isinstance(self.classify, _Vader) else ("the classifier", None)
        notes = check_transcript(row, reader, languages, self.doubtful)
        read, note = self.classify.prepare(row["text"])
        return {"read": read, "reason": join_notes([notes, note])}


class _Vader:
    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyzer = SentimentIntensityAnalyzer()

    def prepare(self, text: str) -> tuple[str, None]:
        """The text, and no note."""
        return text, None

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(n, 3) float32 one-hot."""
        import numpy as np

        compound = np.array([self.analyzer.polarity_scores(text)["compound"] for text in texts])
        classes = 1 + (compound >= VADER_THRESHOLD).astype(int) - (compound <= -VADER_THRESHOLD).astype(int)
        return np.eye(len(schema.SENTIMENTS), dtype=np.float32)[classes]


class _Transformer:
    def __init__(self, config: Config, context: Context) -> None:
        import torch

        from emoadapt.transcription.tokens import Tokeniser

        torch.set_num_threads(context.threads)
        folder = resolve(config.model, context.models_dir)
        self.model = _load_classifier(folder)
        self.tokenise = Tokeniser(folder, "features.sentiment.model")
        self.order = find_order(self.model.config.id2label, config.model)
        self.batch_size = config.batch_size
        self.device = torch.device(context.device)
        self.model.to(self.device).eval()

    def prepare(self, text: str) -> tuple[list[int], str | None]:
        """Tokens, and a note where only the beginning is read."""
        tokens = self.tokenise(text)
        return tokens.ids, tokens.note

    def __call__(self, texts: Sequence[list[int]]) -> np.ndarray:
        """(n, 3) float32 probabilities."""
        import numpy as np
        import torch

        probabilities = np.zeros((len(texts), len(schema.SENTIMENTS)), np.float32)
        for batch in group_equal([len(ids) for ids in texts], self.batch_size):
            inputs = torch.tensor([texts[index] for index in batch], device=self.device)
            with torch.no_grad():
                logits = self.model(inputs).logits
            probabilities[batch] = torch.softmax(logits.float(), dim=-1)[:, self.order].cpu().numpy()
        return probabilities


def find_order(id2label: dict[int, str], model: str) -> list[int]:
    """Index of negative, neutral and positive among a model's outputs; case and spaces of their names do not matter.

    Raises:
        ModelError: the model's labels are not these three, once each.
    """
    index = {str(label).strip().lower(): int(number) for number, label in id2label.items()}
    if len(id2label) != len(schema.SENTIMENTS) or set(index) != set(schema.SENTIMENTS):
        raise ModelError(
            f"features.sentiment.model: {model} has the labels {', '.join(map(str, id2label.values()))}; "
            f"a model with {', '.join(schema.SENTIMENTS)} is needed"
        )
    return [index[name] for name in schema.SENTIMENTS]


def _load_classifier(folder: Path) -> Any:
    """Sequence classifier in a folder.

    Raises:
        ModelError: it is none, or weights are missing in it.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    from emoadapt.weights.tensors import list_left_out

    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, weights_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the sentiment model {folder} cannot be loaded ({reason}); put a complete model there, or set "
            "features.sentiment.engine: vader"
        ) from None
    if missing := sorted(loading["missing_keys"]):
        # transformers fills them in at random and only warns.
        raise ModelError(
            f"the sentiment model {folder} lacks weights ({', '.join(missing[:3])}, {len(missing)} in all); "
            "choose a checkpoint that was fine-tuned for classification"
        )
    list_left_out(loading["unexpected_keys"], model, f"the sentiment model {folder}")
    return model
