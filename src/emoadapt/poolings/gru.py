"""A recurrent network's output at the last frame (Srinivasan et al. 2022, Sec. 3.1 and 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emoadapt.poolings import base

OPTIONS = {"hidden": 128, "layers": 2}


class Pooling(base.Pooling):
    """Output of a gated recurrent unit at the last valid frame.

    It runs forwards, so that padding behind a clip changes nothing.

    Args:
        dimension: of a frame.
        hidden: units of each layer, the dimension of the embedding.
        layers: one above another.
    """

    obstacle = "torch exports recurrent networks for clips of one length only"

    def __init__(self, dimension: int, hidden: int = OPTIONS["hidden"], layers: int = OPTIONS["layers"]) -> None:
        super().__init__(dimension)
        self.width = hidden
        self.gru = nn.GRU(dimension, hidden, layers, batch_first=True)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, hidden) float32."""
        valid = base.mask_frames(lengths, hidden.shape[1])[..., None]
        outputs, _ = self.gru(torch.where(valid, hidden.float(), 0.0))
        return base.take_last(outputs, lengths)
