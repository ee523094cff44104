"""The last frame of a clip."""

from __future__ import annotations

from torch import Tensor

from emoadapt.poolings import base


class Pooling(base.Pooling):
    """The last valid frame."""

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
        return base.take_last(hidden, lengths)
