"""Interface of a pooling of a clip's frames into one embedding.

A pooling is a module here, or in the folder `poolings` of a study's own plug-ins, with a class `Pooling`, a subclass of the
class below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from emoadapt.errors import ConfigError
from emoadapt.layers.heads import seeded
from emoadapt.plugins import load_plugin


class Pooling(nn.Module, ABC):
    """One pooling.

    Args:
        dimension: of a frame.
    """

    name: str
    """Of the plug-in; set by `load_pooling`."""
    width: int
    """Dimension of the embedding: that of a frame, unless a subclass says otherwise."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.width = dimension

    @abstractmethod
    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool the frames of clips.

        Args:
            hidden: (batch, n_frames, dimension); frames beyond a clip's end hold no meaning and must not count.
            lengths: (batch,) valid frames, at least 1.

        Returns:
            (batch, width) float32.
        """


def load_pooling(name: str, dimension: int) -> Pooling:
    """A new pooling, whose weights depend on nothing but its shapes.

    Raises:
        ConfigError: there is none of that name, or it cannot be used.
    """
    module = load_plugin("poolings", name)
    try:
        with seeded(0):
            pooling = module.Pooling(dimension)
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"pooling {name} cannot be used ({error}); see docs/add-a-pooling.md") from error
    pooling.name = name
    return pooling


def mask_frames(lengths: Tensor, n_frames: int) -> Tensor:
    """(batch, n_frames) boolean: True for frames of the clip."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


def mean_frames(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Mean over valid frames: (batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
    valid = mask_frames(lengths, hidden.shape[1])[..., None]
    return torch.where(valid, hidden.float(), 0.0).sum(dim=1) / lengths[:, None]


def build_attention(dimension: int) -> nn.Sequential:
    """A network that scores a frame: a hidden layer as wide as a frame, tanh, and a vector (Okabe et al. 2018, Eq. 4)."""
    return nn.Sequential(nn.Linear(dimension, dimension), nn.Tanh(), nn.Linear(dimension, 1, bias=False))


def weigh_frames(attention: nn.Module, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over time of the scores of valid frames.

    Args:
        attention: (..., dimension) -> (..., 1).
        hidden: (batch, n_frames, dimension).
        lengths: (batch,) valid frames.

    Returns:
        Frames, zero beyond a clip's end, and their weights (batch, n_frames, 1), which add up to 1; both float32.
    """
    valid = mask_frames(lengths, hidden.shape[1])[..., None]
    frames = torch.where(valid, hidden.float(), 0.0)
    return frames, attention(frames).float().masked_fill(~valid, -torch.inf).softmax(dim=1)
