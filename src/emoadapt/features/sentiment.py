"""Sentiment of the transcript: negative, neutral or positive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.errors import ClipError, ModelError
from emoadapt.features.base import Context, Extractor, FeatureSection, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.weights.registry import resolve

if TYPE_CHECKING:
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

DOUBTS = frozenset({"repetition", "low_confidence", "no_speech"})
"""Codes of notes on transcripts whose words may be invented."""


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
        return {"transformers": ("transformers", "torch"), "vader": ("vaderSentiment",)}[self.engine]

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

    A transcript with a note gives a sentiment with the note `doubtful_transcript`. One whose words may be invented (`DOUBTS`) gives
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
        results = [guard(self._check_transcript, row) for row in rows]
        usable = [index for index, result in enumerate(results) if "status" not in result]
        probabilities, notes = self.classify([rows[index]["text"] for index in usable])
        for index, values, note in zip(usable, probabilities, notes, strict=True):
            label = schema.SENTIMENTS[int(values.argmax())]
            reason = join_notes([results[index].get("reason"), note])
            results[index] = {"sentiment": values, "sentiment_label": label, "reason": reason}
        return results

    def _check_transcript(self, row: dict[str, Any]) -> dict[str, Any]:
        """Without `status` where the text can be classified; `reason` notes what is odd about it."""
        language, codes = row.get("language"), [note.partition(":")[0] for note in row.get("transcript_notes", ())]
        if isinstance(self.classify, _Vader) and language not in (None, "en"):
            raise ClipError("language_not_supported", f"VADER knows English, the text is in {language}", absent=True)
        if DOUBTS & set(codes) and self.doubtful == "absent":
            raise ClipError("doubtful_transcript", ", ".join(codes), absent=True)
        doubtful = f"doubtful_transcript: {', '.join(codes)}" if codes else None
        assumed = isinstance(self.classify, _Vader) and language is None
        note = "language_assumed: en, the only one that VADER knows; the corpus names none" if assumed else None
        return {"reason": join_notes([doubtful, note])}


class _Vader:
    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyzer = SentimentIntensityAnalyzer()

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, list[str | None]]:
        """(n, 3) float32 one-hot, and no notes."""
        import numpy as np

        compound = np.array([self.analyzer.polarity_scores(text)["compound"] for text in texts])
        classes = 1 + (compound >= VADER_THRESHOLD).astype(int) - (compound <= -VADER_THRESHOLD).astype(int)
        return np.eye(len(schema.SENTIMENTS), dtype=np.float32)[classes], [None] * len(texts)


class _Transformer:
    def __init__(self, config: Config, context: Context) -> None:
        import torch

        torch.set_num_threads(context.threads)
        self.tokenizer, self.model = _load_classifier(config.model, context)
        self.order = find_order(self.model.config.id2label, config.model)
        self.batch_size = config.batch_size
        self.device = torch.device(context.device)
        self.model.to(self.device).eval()
        # RoBERTa numbers positions from 2, so two of its 514 cannot be used; tokenizers may state no limit at all.
        positions = getattr(self.model.config, "max_position_embeddings", 514) - 2
        self.max_length = min(positions, self.tokenizer.model_max_length)

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, list[str | None]]:
        """(n, 3) float32 probabilities, and a note for each text of which only the beginning was read."""
        import numpy as np
        import torch

        probabilities = np.zeros((len(texts), len(schema.SENTIMENTS)), np.float32)
        lengths = [len(self.tokenizer(text, verbose=False)["input_ids"]) for text in texts]
        tokens = [self.tokenizer(text, truncation=True, max_length=self.max_length) for text in texts]
        for batch in _equal_lengths([len(entry["input_ids"]) for entry in tokens], self.batch_size):
            inputs = {
                name: torch.tensor([tokens[index][name] for index in batch], device=self.device)
                for name in tokens[batch[0]]
            }
            with torch.no_grad():
                logits = self.model(**inputs).logits
            probabilities[batch] = torch.softmax(logits.float(), dim=-1)[:, self.order].cpu().numpy()
        limit = self.max_length
        notes = [f"truncated: the first {limit} of {n} tokens were read" if n > limit else None for n in lengths]
        return probabilities, notes


def _equal_lengths(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of indices of equally long texts: nothing is padded, and a result is that of the text alone but for rounding."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    for indices in by_length.values():
        for begin in range(0, len(indices), batch_size):
            yield indices[begin : begin + batch_size]


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


def _load_classifier(name: str, context: Context) -> tuple[Any, Any]:
    """Tokenizer and model from a folder below `models_dir`, else from the Hugging Face cache.

    Raises:
        ModelError: neither is there, it is no sequence classifier, or weights are missing in it.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from emoadapt.weights.tensors import list_left_out

    folder = resolve(name, context.models_dir)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
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
    return tokenizer, model
