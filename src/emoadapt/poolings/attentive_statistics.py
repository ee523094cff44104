"""Attentive statistics (Okabe et al. 2018), as in the baseline of the MSP-Podcast challenge of 2024 (Goncalves et al. 2024).

Sizes, initial weights and the smallest variance are those of `net/pooling.py` in https://github.com/msplabresearch/MSP-Podcast_Challenge:
one hidden layer as wide as a frame, and a standard normal vector, which singles out few frames at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emoadapt.poolings import base

SMALLEST_VARIANCE = 1e-5
"""Below it the standard deviation has no gradient that could be used: it would be infinite at 0."""


class Pooling(base.Pooling):
    """Mean and standard deviation over time, weighted by a learned attention, side by side: twice as wide as a frame.

    Args:
        dimension: of a frame.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.width = 2 * dimension
        self.attention = base.build_attention(dimension)
        nn.init.normal_(self.attention[-1].weight)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, 2 * dimension) float32."""
        frames, weights = base.weigh_frames(self.attention, hidden, lengths)
        mean = (weights * frames).sum(dim=1)
        variance = (weights * (frames - mean[:, None]).square()).sum(dim=1)
        return torch.cat([mean, variance.clamp_min(SMALLEST_VARIANCE).sqrt()], dim=1)
