"""A vector of descriptors for each clip, such as functionals: the handcrafted baseline, without parameters of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import Name

if TYPE_CHECKING:
    from emoadapt.layers.vector import VectorBackbone

MODEL_TYPES = ()
LOADED_BY = "emoadapt"
NOTICE = ""


class Config(Backbone):
    """A vector of descriptors, such as functionals, that a head is trained on: the handcrafted baseline."""

    architecture: Literal["vector"]
    reads: Name
    """Feature that gives a vector for each clip: `egemaps`, `egemaps_functionals`, `compare_functionals`, ..."""

    @property
    def depth(self) -> int:
        """The vector is the one layer."""
        return 1

    @property
    def features(self) -> tuple[str, ...]:
        """The feature that it reads."""
        return (self.reads,)


def load(config: Config, models_dir: Path, source: Path | None = None) -> VectorBackbone:
    """Make a backbone, which learns its width from the first batch."""
    from emoadapt.layers.vector import VectorBackbone

    return VectorBackbone()
