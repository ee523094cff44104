"""A backbone without parameters; its embedding is its input vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch


class VectorBackbone(nn.Module):
    """Vectors of descriptors behind the interface of backbones.

    Args:
        width: dimension of the vectors; None = that of the first batch.
    """

    standardised = False
    """Vectors are z-scored before it reads them."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__()
        self.width = width

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """(batch, dimension) float32 of (dimension,) vectors, or of a tensor that holds them."""
        embedding = vectors if isinstance(vectors, Tensor) else torch.stack(list(vectors))
        self.width = embedding.shape[1]
        return embedding.float()

    def redraw(self, seed: int) -> bool:
        """There is nothing to draw."""
        return False

    def embed(self, batch: Batch) -> Tensor:
        """The vectors of a batch."""
        return self(batch.streams["vector"])

    def embed_layers(self, vectors: Sequence[Tensor]) -> Tensor:
        """(batch, 1, dimension): the vectors, the only layer."""
        return self(vectors)[:, None].detach()
