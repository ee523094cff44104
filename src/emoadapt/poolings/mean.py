"""Mean over time: every frame counts alike, as in G25, Sec. III-F."""

from __future__ import annotations

from torch import Tensor

from emoadapt.poolings import base


class Pooling(base.Pooling):
    """Mean over valid frames."""

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
        return base.mean_frames(hidden, lengths)
