"""Configuration of features that a text encoder computes from transcripts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emoadapt.features.base import FeatureSection, TorchSection

TOKENIZER_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "bpe.codes", "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model",
)  # fmt: skip
"""Files of a model's folder that decide the tokens of a text; `config.json` names the tokenizer and the positions."""


class TextSection(FeatureSection):
    """A text encoder, and the transcripts that it can read."""

    model: str = "bert-base-uncased"
    """Hub id, or folder relative to `models_dir`, of any text encoder of `transformers`: BERT, RoBERTa, MiniLM, ..."""
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...] | None = ("en",)
    """ISO 639-1 codes of the languages that the encoder knows. Clips in another one are absent (`language_not_supported`). null: all."""
    doubtful: Literal["absent", "note"] = "absent"
    """Doubtful transcripts that were kept (`features.transcript.doubtful: note`). `absent`: leave the clip out. `note`: use the
    transcript, with a note."""

    def list_libraries(self) -> tuple[str, ...]:
        """Those that make tokens."""
        return ("tokenizers", "transformers")


class EncoderSection(TorchSection, TextSection):
    """A layer of a text encoder."""

    model: str = "roberta-base"
    """Hub id, or folder relative to `models_dir`, of a text encoder of `transformers`."""
    layer: Literal["last"] | Annotated[int, Field(ge=0)] = "last"
    """Layer whose output is read; 0 is the input of the first one."""

    def list_libraries(self) -> tuple[str, ...]:
        """The tokenizer's, and torch."""
        return (*super().list_libraries(), "torch")
