"""Mean over time, weighted by a learned attention (Cai et al. 2018, Sec. 3.3, "self-attentive pooling")."""

from __future__ import annotations

from torch import Tensor

from emoadapt.poolings import base


class Pooling(base.Pooling):
    """Weighted mean over valid frames. The weights depend on each frame, not on its place.

    Args:
        dimension: of a frame.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.attention = base.build_attention(dimension)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
        frames, weights = base.weigh_frames(self.attention, hidden, lengths)
        return (weights * frames).sum(dim=1)
