"""Mean and standard deviation over time, weighted by a learned attention (Okabe et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emoadapt.poolings import base

BOTTLENECK = 128
"""Units of the attention between a frame and its weight."""
SMALLEST_VARIANCE = 1e-6
"""Below it the standard deviation has no gradient that could be used: it would be infinite at 0."""


class Pooling(base.Pooling):
    """Weighted mean and standard deviation side by side, twice as wide as a frame.

    Args:
        dimension: of a frame.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.width = 2 * dimension
        self.attention = nn.Sequential(nn.Linear(dimension, BOTTLENECK), nn.Tanh(), nn.Linear(BOTTLENECK, 1))

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, 2 * dimension) float32."""
        valid = base.mask_frames(lengths, hidden.shape[1])[..., None]
        frames = torch.where(valid, hidden.float(), 0.0)
        weights = self.attention(frames).float().masked_fill(~valid, -torch.inf).softmax(dim=1)
        mean = (weights * frames).sum(dim=1)
        variance = (weights * (frames - mean[:, None]).square()).sum(dim=1)
        return torch.cat([mean, variance.clamp_min(SMALLEST_VARIANCE).sqrt()], dim=1)
