"""Text encoders of `transformers`, which read tokens.

The pooled embedding of a text is the same alone and in a padded batch: attention sees real tokens alone. Padding is written by the
model's own padding token, since RoBERTa counts positions by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from emoadapt.errors import DataError
from emoadapt.layers.adapters import merge_adapters
from emoadapt.layers.transformer import TransformerBackbone, quiet_transformers
from emoadapt.machine.torch_device import send
from emoadapt.poolings.base import mask_frames
from emoadapt.transcription.sections import TOKENIZER_FILES
from emoadapt.transcription.tokens import count_positions

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch

_LAYERS = {"distilbert": "transformer.layer"}
"""Model type -> place of its layers, where that is not `encoder.layer`."""


class TextBackbone(TransformerBackbone):
    """A text encoder, which reads tokens.

    Args:
        model: one of the `transformers` models, without head and pooler.
        family: plug-in that it is of.
        origin: where the weights come from, for the model card.
        trained: False for random weights.
    """

    reads = "text_tokens"

    def __init__(self, model: Any, family: str, *, origin: str, trained: bool) -> None:
        super().__init__(model, family, origin=origin, trained=trained)
        self.tokenizer: dict[str, bytes] = {}

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers."""
        return self.model.get_submodule(_LAYERS.get(self.model.config.model_type, "encoder.layer"))

    @property
    def longest(self) -> int | None:
        """Tokens for which it has positions; None: any number."""
        return count_positions(self.model.config)

    def run_once(self) -> None:
        """Embed two tokens."""
        self([torch.zeros(2, dtype=torch.long)])

    def run_front_end(self, batch: Batch | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens (batch, longest) and their numbers (batch,): the embeddings of tokens belong to the transformer.

        Args:
            batch: with the stream `tokens`; or (n,) integers of each text.

        Raises:
            DataError: it is given audio.
        """
        if not isinstance(batch, Sequence):
            return batch.streams["tokens"], batch.lengths["tokens"]
        if any(text.is_floating_point() for text in batch):
            raise DataError(f"{self.origin} reads tokens of a text, and was given audio; name a model that reads audio")
        lengths = torch.tensor([len(text) for text in batch])
        padded = pad_sequence([text.long() for text in batch], batch_first=True)
        return send(padded, self.device), send(lengths, self.device)

    def encode_layers(
        self, ids: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]] = (), *, every: bool = True
    ) -> Sequence[Tensor]:
        """Run the encoder on each text as if it were alone.

        Args:
            ids: (batch, longest) integers; those beyond a text's end are not read.
            lengths: (batch,) real tokens, at least 1.
            draws: ignored, since dropout is all that is drawn.
            every: return the input of the first layer and the output of each, and not the last one alone.

        Returns:
            States (batch, longest, hidden_width), the last layer last; tokens beyond a text's end hold no meaning.

        Raises:
            DataError: a text is too long, or has tokens that the encoder does not know.
        """
        self._refuse_foreign(ids, lengths)
        # Boolean: see `layers.speech.Wav2Vec2Parts.transform`.
        valid = mask_frames(lengths, ids.shape[1])
        padded = torch.where(valid, ids.long(), self.model.config.pad_token_id)
        found = self.model(input_ids=padded, attention_mask=valid, output_hidden_states=every)
        return found.hidden_states if every else [found.last_hidden_state]

    def forward(self, texts: Sequence[Tensor]) -> Tensor:
        """Pooled embeddings (batch, width) float32 of (n,) tokens each."""
        ids, lengths = self.run_front_end(texts)
        return self.pool(self.encode(ids, lengths), lengths)

    def keep_tokenizer(self, folder: Path) -> Self:
        """Remember the tokenizer in a folder, so that `save` writes it beside the model."""
        names = (name for name in TOKENIZER_FILES if name != "config.json" and (folder / name).is_file())
        self.tokenizer = {name: (folder / name).read_bytes() for name in names}
        return self

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write a folder that `AutoModel` and, if its tokenizer is known, `AutoTokenizer` load, with its model card.

        Args:
            folder: made if needed.
            card: facts for the model card, name -> value or list of values; `title` is its heading.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_transformers():
            merge_adapters(self.model).save_pretrained(folder)
        for name, content in self.tokenizer.items():
            (folder / name).write_bytes(content)
        self.save_beside(folder)
        self.write_card(folder, card, reads="text" if self.tokenizer else "tokens")

    def _refuse_foreign(self, ids: Tensor, lengths: Tensor) -> None:
        """Refuse tokens of another model's tokenizer, as far as they show it.

        Raises:
            DataError: see `encode_layers`.
        """
        reason = "its tokenizer (`features.text_tokens.model`) must be that of the same model"
        if self.longest is not None and ids.shape[1] > self.longest:
            raise DataError(f"{self.origin} reads {self.longest} tokens, a text has {ids.shape[1]}; {reason}")
        # On a GPU the comparison would wait for the batch; an unknown token ends the job there by itself.
        if ids.device.type == "cpu":
            valid = mask_frames(lengths, ids.shape[1])
            highest = int(ids[valid].max())
            if highest >= self.model.config.vocab_size:
                known = self.model.config.vocab_size
                raise DataError(f"{self.origin} knows {known:,} tokens, a text has token {highest}; {reason}")
