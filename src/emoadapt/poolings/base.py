"""Interface of a pooling of a clip's frames into one embedding.

A pooling is a module here, or in the folder `poolings` of a study's own plug-ins, with

* a class `Pooling`, a subclass of the class below;
* optionally `OPTIONS`, a literal: name -> default of each further argument of that class, which a study may set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

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

    obstacle: ClassVar[str | None] = None
    """Why it cannot be exported to an ONNX file; None: it can."""
    name: str
    """Of the plug-in; set by `load_pooling`."""
    choice: str | dict[str, Any]
    """What `load_pooling` was given; set by it."""
    embedding: int | None = None
    """Dimension of a linear layer behind it; None = there is none."""
    width: int
    """Dimension of the embedding: that of a frame, unless a subclass says otherwise."""
    fresh: bool = True
    """Whether its weights are initial ones; False once they were read from a folder."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = self.width = dimension

    def redraw(self, seed: int) -> bool:
        """Draw new initial weights, unless they were read from a folder.

        Returns:
            Whether it has weights that were drawn.
        """
        if not self.fresh or not any(True for _ in self.parameters()):
            return False
        self.load_state_dict(load_pooling(self.choice, self.dimension, self.embedding, seed).state_dict())
        return True

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load weights that were read from a folder."""
        self.load_state_dict(state)
        self.fresh = False

    @property
    def title(self) -> str:
        """What it is, in words."""
        return self.name if self.embedding is None else f"{self.name}, then a linear layer"

    @abstractmethod
    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Pool the frames of clips.

        Args:
            hidden: (batch, n_frames, dimension); frames beyond a clip's end hold no meaning and must not count.
            lengths: (batch,) valid frames, at least 1.

        Returns:
            (batch, width) float32.
        """


class Projected(Pooling):
    """A pooling and a linear layer, whose output is the embedding (Srinivasan et al. 2022, Eq. 2).

    Args:
        pooling: comes first.
        width: dimension of the embedding.
    """

    def __init__(self, pooling: Pooling, width: int) -> None:
        super().__init__(pooling.dimension)
        self.name, self.choice, self.obstacle = pooling.name, pooling.choice, pooling.obstacle  # type: ignore[misc]
        self.embedding = self.width = width
        self.pooling = pooling
        self.linear = nn.Linear(pooling.width, width)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(batch, n_frames, dimension), (batch,) -> (batch, width) float32."""
        return self.linear(self.pooling(hidden, lengths)).float()


def load_pooling(
    choice: str | Mapping[str, Any], dimension: int, embedding: int | None = None, seed: int = 0
) -> Pooling:
    """A new pooling.

    Args:
        choice: name of a plug-in; or a mapping of its name, as `name`, and its options.
        dimension: of a frame.
        embedding: dimension of a linear layer after it; None = there is none.
        seed: of the initial weights, which depend on nothing else.

    Raises:
        ConfigError: there is none of that name, or it cannot be used.
    """
    options = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = options.pop("name")
    module = load_plugin("poolings", name)
    try:
        with seeded(seed):
            pooling = module.Pooling(dimension, **options)
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"pooling {name} cannot be used ({error}); see docs/add-a-pooling.md") from error
    pooling.name, pooling.choice = name, {"name": name, **options} if options else name
    if embedding is None:
        return pooling
    with seeded(seed):
        return Projected(pooling, embedding)


def mask_frames(lengths: Tensor, n_frames: int) -> Tensor:
    """(batch, n_frames) boolean: True for frames of the clip."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


def mean_frames(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Mean over valid frames: (batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
    valid = mask_frames(lengths, hidden.shape[1])[..., None]
    return torch.where(valid, hidden.float(), 0.0).sum(dim=1) / lengths[:, None]


def take_last(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Last valid frames: (batch, n_frames, dimension), (batch,) -> (batch, dimension) float32."""
    place = (lengths - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, place)[:, 0].float()


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
