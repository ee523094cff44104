"""Transformer over frames of low-level descriptors, trained from scratch (Goncalves & Busso 2022).

The network is in `emoadapt.layers.lld_transformer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import Name, Section
from emoadapt.data.streams import Stream
from emoadapt.errors import Problems
from emoadapt.fixes import find_unknown
from emoadapt.plugins import list_plugins

if TYPE_CHECKING:
    from emoadapt.layers.lld_transformer import LldBackbone

MODEL_TYPES = ("lld_transformer",)
LOADED_BY = "emoadapt"
NOTICE = ""


class Shape(Section):
    """Dimensions of the network, and what its initial weights are drawn from. The defaults are those of the paper."""

    dimension: int = Field(130, ge=1)
    """Values of a frame of the feature: `compare_frames` has 130, `egemaps_frames` 25."""
    width: int = Field(130, ge=2)
    """Dimension of the layers, to which frames are projected. The paper's projection E keeps 130."""
    layers: int = Field(5, ge=0)
    """Self-attention layers of the first group, with plain residual connections."""
    scaled_layers: int = Field(5, ge=0)
    """Self-attention layers of the second group, with scaled residual connections."""
    heads: int = Field(10, ge=1)
    """Attention heads of every layer; they divide `width`."""
    feed_forward: int = Field(4, ge=1)
    """Width of the feed-forward part, in multiples of `width` (AuxFormer: 4)."""
    norm: Literal["before", "after"] = "before"
    """Place of the layer norms. `before` attention and feed-forward part, and after each group (AuxFormer); `after` both, as in
    Vaswani et al. 2017."""
    positions: Literal["sinusoidal", "none"] = "sinusoidal"
    """Positions that are added to the projected frames (Eq. 1)."""
    scaling: Literal["complement", "separate", "none"] = "complement"
    """Learnable weights of the second group's residual connections, one set per layer, initially uniform in [0, 1). `complement`:
    residual * alpha + branch * (1 - alpha) (AuxFormer). `separate`: alpha and beta. `none`: no weights."""
    attention_dropout: float = Field(0.25, ge=0, lt=1)
    """Dropout on the output of each attention."""
    residual_dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout on both branches of each layer, before they join the residual connection."""
    normalise: bool = True
    """Whether frames are z-scored: with statistics of the Stage-1 training clips in Stage 1, of a run's training clips in Stage 2."""
    seed: int = Field(0, ge=0)
    """Seed of the initial weights."""

    @model_validator(mode="after")
    def _usable(self) -> Shape:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if not self.layers + self.scaled_layers:
            raise ValueError("`layers` and `scaled_layers` are both 0; the network needs a layer")
        return self


class Config(Shape, Backbone):
    """A transformer over frames of descriptors (G22): two groups of self-attention layers, trained from scratch."""

    architecture: Literal["lld_transformer"]
    reads: Name = "compare_frames"
    """Feature whose frames it reads."""
    pooling: Name = "mean"
    """Pooling of frames into one embedding: `mean` over time; `last`, the last frame (AuxFormer); or another plug-in."""
    adaptable: ClassVar[bool] = True

    @field_validator("pooling")
    @classmethod
    def _known(cls, value: str) -> str:
        if problems := find_unknown("", value, list_plugins("poolings"), "pooling"):
            raise Problems(problems)
        return value

    @property
    def standardised(self) -> bool:
        """As `normalise` says."""
        return self.normalise

    @property
    def provenance(self) -> Literal["untrained"]:
        """Random weights."""
        return "untrained"

    @property
    def depth(self) -> int:
        """The layers' input and the layers."""
        return self.layers + self.scaled_layers + 1

    @property
    def origin(self) -> str:
        """Where its parameters come from, for messages and model cards."""
        return f"randomly initialised (seed {self.seed})"

    @property
    def streams(self) -> dict[str, Stream]:
        """Frames of descriptors."""
        return {"frames": Stream(self.reads, self.reads, "frames")}


def load(config: Config, models_dir: Path, source: Path | None = None) -> LldBackbone:
    """Build a backbone, or load a model of Stage 1; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.lld_transformer import LldBackbone, load_saved

    if source is not None:
        return load_saved(source, origin=config.origin, trained=False)
    shape = Shape.model_validate(config.model_dump(include=set(Shape.model_fields)))
    return LldBackbone(shape, config.pooling, reads=config.reads, origin=config.origin, trained=False)


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> LldBackbone:
    """Load what `save` wrote; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.lld_transformer import load_saved

    return load_saved(folder, origin=origin, trained=trained)
