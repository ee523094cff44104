"""A backbone without parameters; its embedding is its input vector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.poolings.base import mask_frames
from emoadapt.weights.cards import write_card

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch


MODEL_TYPE = "emoadapt-vector"
"""`model_type` of a saved folder."""


class VectorBackbone(nn.Module):
    """Vectors of descriptors behind the interface of backbones.

    Args:
        width: dimension of the vectors; None = that of the first batch.
        reads: feature that the vectors are of, or whose frames they are the mean of.
    """

    standardised = False
    """Vectors are z-scored before it reads them."""

    def __init__(self, width: int | None = None, reads: str = "") -> None:
        super().__init__()
        self.width, self.reads = width, reads

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """(batch, dimension) float32 of (dimension,) vectors, or of a tensor that holds them."""
        embedding = vectors if isinstance(vectors, Tensor) else torch.stack(list(vectors))
        self.width = embedding.shape[1]
        return embedding.float()

    def redraw(self, seed: int) -> bool:
        """See `Embedder`: there is no such part."""
        return False

    def embed(self, batch: Batch) -> Tensor:
        """The vectors of a batch; of frames their mean over time, as `data.vectors.read_vectors` computes it."""
        values = batch.streams["vector"]
        if (lengths := batch.lengths.get("vector")) is None:
            return self(values)
        valid = mask_frames(lengths, values.shape[1])[..., None]
        return self((values.double() * valid).sum(dim=1) / lengths[:, None])

    def embed_layers(self, vectors: Batch | Sequence[Tensor] | Tensor) -> Tensor:
        """(batch, 1, dimension): the vectors, the only layer."""
        embedding = self(vectors) if isinstance(vectors, (Sequence, Tensor)) else self.embed(vectors)
        return embedding[:, None].detach()

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write a folder that `backbones.vector.load_folder` loads, with its model card."""
        folder.mkdir(parents=True, exist_ok=True)
        said = {"model_type": MODEL_TYPE, "width": self.width, "reads": self.reads}
        (folder / "config.json").write_text(json.dumps(said) + "\n", encoding="utf-8")
        write_card(folder, card, origin=self.reads, trained=True, library="emoadapt", notice="", reads="descriptors")
