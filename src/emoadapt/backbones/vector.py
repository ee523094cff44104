"""Backbone without parameters: a vector of descriptors for each clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import Name
from emoadapt.data.streams import Stream

if TYPE_CHECKING:
    from emoadapt.layers.vector import VectorBackbone

MODEL_TYPES = ()
LOADED_BY = "emoadapt"
NOTICE = ""


class Config(Backbone):
    """A vector of descriptors for each clip, such as functionals, on which a head is trained."""

    architecture: Literal["vector"]
    reads: Name
    """Feature that gives a vector for each clip: `egemaps`, `egemaps_functionals`, `compare_functionals`, ..."""
    frames: Literal["mean"] | None = None
    """`mean`: the feature has frames, such as `pase_frames`, and their mean over time is read. null: the feature is a vector."""

    @property
    def depth(self) -> int:
        """The vector is the one layer."""
        return 1

    @property
    def streams(self) -> dict[str, Stream]:
        """The vector, or the frames that it is the mean of."""
        return {"vector": Stream(self.reads, self.reads, "vector" if self.frames is None else "frames")}


def load(config: Config, models_dir: Path, source: Path | None = None) -> VectorBackbone:
    """Make a backbone, which learns its width from the first batch."""
    from emoadapt.layers.vector import VectorBackbone

    return VectorBackbone()
