"""Backbone without parameters: a vector of descriptors for each clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emoadapt.config.backbones import Backbone
from emoadapt.config.base import Name
from emoadapt.data.streams import Stream
from emoadapt.errors import ModelError

if TYPE_CHECKING:
    from emoadapt.layers.vector import VectorBackbone

MODEL_TYPES = ("emoadapt-vector",)
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

    return VectorBackbone(reads=config.reads)


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> VectorBackbone:
    """Load a folder that `VectorBackbone.save` wrote; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.vector import VectorBackbone

    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return VectorBackbone(said["width"], str(said["reads"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read ({error}); copy the whole folder again") from error
