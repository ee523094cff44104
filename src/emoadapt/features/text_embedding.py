"""Embedding of the transcript by a text encoder (Dutta & Ganapathy 2025, Sec. III-B).

It is the mean of a layer over all tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.features.base import Context, Extractor, Network, guard
from emoadapt.storage.notes import join_notes
from emoadapt.transcription.sections import EncoderSection
from emoadapt.transcription.texts import check_transcript, group_equal

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.transcription.tokens import Tokens

INPUTS = ("transcript",)
TERMS = None
CHUNK_ROWS = 256
JOB = {"memory_mb": 4000, "minutes": 120}

TABLE = schema.make_feature_table(
    schema.column("text_embedding", pa.list_(pa.float32()), "(width of the encoder,) mean over the tokens of a layer"),
)


class Config(EncoderSection):
    """Embedding of the transcript."""

    special_tokens: bool = True
    """Whether the tokens that the tokenizer adds, such as `<s>` and `</s>`, count in the mean."""
    batch_size: int = Field(32, ge=1)

    def describe_network(self) -> Network:
        """The encoder."""
        return Network("text embedding", "text encoder", "pretrained", self.model)

    def list_idle_keys(self) -> set[str]:
        """How many texts are read at once."""
        return {"batch_size"}


def load(config: Config, context: Context) -> Extractor:
    """Load the encoder.

    Raises:
        ModelError: it cannot be had, or has fewer layers.
    """
    return TextEmbeddingExtractor(config, context)


class TextEmbeddingExtractor:
    """Averages a layer of a text encoder over the tokens of each transcript.

    Texts of one length are read together, so that nothing is padded. What is cut or absent is as for `text_tokens`.
    """

    def __init__(self, config: Config, context: Context) -> None:
        import torch

        from emoadapt.transcription.encoders import load_layer

        self.config, self.device = config, torch.device(context.device)
        self.tokenise, self.model, self.layer = load_layer(config, context, "text_embedding")

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`text_embedding` of each row's `text`, and a note in `reason`."""
        results = [guard(self._prepare, row) for row in rows]
        usable = [result for result in results if "status" not in result]
        texts = [result.pop("tokens") for result in usable]
        for batch in group_equal([len(text.ids) for text in texts], self.config.batch_size):
            for index, vector in zip(batch, self._embed([texts[index] for index in batch]), strict=True):
                usable[index]["text_embedding"] = vector
        return results

    def _prepare(self, row: dict[str, Any]) -> dict[str, Any]:
        notes = check_transcript(row, "the encoder", self.config.languages, self.config.doubtful)
        tokens = self.tokenise(row["text"])
        return {"tokens": tokens, "reason": join_notes([notes, tokens.note])}

    def _embed(self, texts: Sequence[Tokens]) -> np.ndarray:
        """(n_texts, width) float32, of equally long texts."""
        import torch

        ids = torch.tensor([text.ids for text in texts], device=self.device)
        counted = torch.tensor([[self.config.special_tokens or not added for added in text.added] for text in texts])
        weights = counted.to(self.device, torch.float32)[..., None]
        with torch.no_grad():
            states = self.model(input_ids=ids, output_hidden_states=True).hidden_states[self.layer]
        return ((states * weights).sum(dim=1) / weights.sum(dim=1)).cpu().numpy()
