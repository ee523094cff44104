"""wav2vec 2.0 with the transformer of `lld_transformer`, from scratch: baseline of Goncalves & Busso 2022, Sec. 4.3.

The network is in `emoadapt.layers.wav2vec2_lld`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.backbones.lld_transformer import Shape
from emoadapt.config.base import Section
from emoadapt.layers.settings import TrainableFrontEnd

if TYPE_CHECKING:
    from emoadapt.layers.speech import SpeechBackbone

MODEL_TYPES = ("wav2vec2_lld",)
LOADED_BY = "emoadapt"
NOTICE = ""


class Untrained(Section):
    """Dimensions of the randomly initialised network. The defaults are the CNN encoder of wav2vec 2.0 and the transformer of G22."""

    conv_dim: tuple[Annotated[int, Field(ge=1)], ...] = (512, 512, 512, 512, 512, 512, 512)
    """Channels of the 1-D CNN encoder's layers."""
    conv_kernel: tuple[Annotated[int, Field(ge=1)], ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[Annotated[int, Field(ge=1)], ...] = (5, 2, 2, 2, 2, 2, 2)
    """The product is the hop in samples (320 = 20 ms)."""
    feat_extract_norm: Literal["group", "layer"] = "layer"
    """`layer`, as in wav2vec 2.0 large. `group`, as in base, normalises over time, so that each clip runs by itself."""
    transformer: Shape = Shape()
    """The transformer. Its frames are the CNN encoder's, so that `dimension` and `normalise` are not used."""

    @field_validator("transformer", mode="before")
    @classmethod
    def _own(cls, value: object) -> object:
        if isinstance(value, dict) and (unused := {"dimension", "normalise"} & set(value)):
            raise ValueError(f"`{min(unused)}` is not used here: frames are those of the CNN encoder; leave it out")
        return value

    @model_validator(mode="after")
    def _shapes(self) -> Untrained:
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError("conv_dim, conv_kernel and conv_stride differ in length; give each one value per layer")
        return self

    @property
    def layers(self) -> int:
        """Layers of the transformer."""
        return self.transformer.layers + self.transformer.scaled_layers

    @property
    def seed(self) -> int:
        """Seed of the initial weights."""
        return self.transformer.seed


class Config(TrainableFrontEnd):
    """The CNN encoder of wav2vec 2.0 and the transformer of `lld_transformer`, from scratch (G22's baseline)."""

    architecture: Literal["wav2vec2_lld"]
    untrained: Untrained | None = None  # type: ignore[assignment]
    """Dimensions; `{}` for the paper's."""


def load(config: Config, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Build a backbone, or load a model of Stage 1; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.transformer import load_configured
    from emoadapt.layers.wav2vec2_lld import build_untrained

    return load_configured(config, models_dir, source, lambda: build_untrained(config.untrained or Untrained()))


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load what `save` wrote; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.wav2vec2_lld import load_saved

    return load_saved(folder, origin=origin, trained=trained)
