"""Prediction heads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and leave the generators outside as they were."""
    # A process that has not touched a GPU shall not start to: its context takes memory, and the card may be another job's.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class TwoLayerHead(nn.Module):
    """Linear, ReLU, linear: the Stage-2 head (G25, Sec. III-F).

    Args:
        width: dimension of the input.
        hidden: hidden units.
        n_classes: logits.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, width: int, hidden: int, n_classes: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.hidden = nn.Linear(width, hidden)
            self.output = nn.Linear(hidden, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        return self.output(torch.relu(self.hidden(embedding)))
