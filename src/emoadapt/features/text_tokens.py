"""Tokens of the transcript, as a text encoder reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.features.base import Context, Extractor, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.transcription.sections import TOKENIZER_FILES, TextSection
from emoadapt.transcription.texts import check_transcript
from emoadapt.weights.registry import resolve

INPUTS = ("transcript",)
TERMS = None
CHUNK_ROWS = 1024
JOB = {"memory_mb": 1500, "minutes": 30}

TABLE = schema.make_feature_table(
    schema.column("text_tokens", pa.list_(pa.int32()), "(n,) ids, with those that the tokenizer adds, such as [CLS]"),
)


class Config(TextSection):
    """Tokens of the transcript."""

    def describe_network(self) -> Network:
        """The tokenizer; the encoder's tensors decide no token."""
        return Network("text tokens", "tokenizer", "rules", self.model, files=TOKENIZER_FILES)


def load(config: Config, context: Context) -> Extractor:
    """Load the tokenizer.

    Raises:
        ModelError: it cannot be had.
    """
    return TextTokensExtractor(config, context)


class TextTokensExtractor:
    """Splits each transcript into tokens.

    A text that is longer than the encoder can read is cut (`truncated`). A text of which the tokenizer knows nothing is absent
    (`no_tokens`), as are one in another language and a doubtful one (`emoadapt.transcription.texts`).
    """

    def __init__(self, config: Config, context: Context) -> None:
        from emoadapt.transcription.tokens import Tokeniser

        self.config = config
        self.tokenise = Tokeniser(resolve(config.model, context.models_dir), "features.text_tokens.model")

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`text_tokens` of each row's `text`, and a note in `reason`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        notes = check_transcript(row, "the encoder", self.config.languages, self.config.doubtful)
        tokens = self.tokenise(row["text"])
        return {"text_tokens": tokens.ids, "reason": join_notes([notes, tokens.note])}
