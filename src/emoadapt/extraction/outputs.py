"""Extractors of outputs of frozen backbones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import guard

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from emoadapt.data.batching import Batch
    from emoadapt.data.streams import Stream
    from emoadapt.layers.trainable import TrainableBackbone


class KeptExtractor:
    """Outputs of one backbone, clip by clip.

    Args:
        backbone: is run as it stands, on the device it is on.
        streams: that it reads, by role.
    """

    table: ClassVar[pa.Schema]

    def __init__(self, backbone: TrainableBackbone, streams: Mapping[str, Stream]) -> None:
        self.backbone = backbone.eval()
        self.streams = streams

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The columns of `table` of each row, which has the columns of the features that the backbone reads."""
        return [guard(self._extract, row) for row in rows]

    def _extract(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        from emoadapt.data.batching import collate_clips
        from emoadapt.data.clips import Clip, read_stream, to_tensor

        found = {role: to_tensor(read_stream(row, stream), stream) for role, stream in self.streams.items()}
        with torch.inference_mode():
            return self.run(collate_clips([Clip("", found)], self.streams).to(self.backbone.device))

    @abstractmethod
    def run(self, batch: Batch) -> dict[str, Any]:
        """The columns of a batch of one clip."""


class FrontEndExtractor(KeptExtractor):
    """float16 frames of the front end."""

    table = schema.FRONTEND

    def run(self, batch: Batch) -> dict[str, Any]:
        """`frontend`, `n_frames` and `dimension`."""
        return _halve("frontend", "front-end output", self.backbone.run_front_end(batch)[0][0])


class StatesExtractor(KeptExtractor):
    """float16 frames of the last layer."""

    table = schema.STATES

    def run(self, batch: Batch) -> dict[str, Any]:
        """`states`, `n_frames` and `dimension`."""
        frames, lengths = self.backbone.run_front_end(batch)
        return _halve("states", "last layer", self.backbone.encode_layers(frames, lengths, every=False)[-1][0])


class LayersExtractor(KeptExtractor):
    """float32 mean over time of each layer."""

    table = schema.LAYERS

    def run(self, batch: Batch) -> dict[str, Any]:
        """`layers`, `n_frames` and `dimension`."""
        layers = self.backbone.embed_layers(batch)[0].float().cpu().numpy()
        if not np.isfinite(layers).all():
            raise ClipError("layers_not_finite", "a layer of the backbone is not finite")
        return {"layers": layers.astype("<f4").tobytes(), "n_frames": len(layers), "dimension": layers.shape[1]}


def _halve(kind: str, name: str, frames: Tensor) -> dict[str, Any]:
    """Columns of frames (n_frames, dimension) in half precision.

    Raises:
        ClipError: a value does not fit.
    """
    import torch

    halves = frames.to(torch.float16).cpu().numpy()
    if not np.isfinite(halves).all():
        raise ClipError(f"{kind}_overflow", f"{name} of {float(frames.abs().max()):.3g} does not fit float16")
    return {kind: halves.astype("<f2").tobytes(), "n_frames": len(halves), "dimension": halves.shape[1]}


EXTRACTORS: dict[str, type[KeptExtractor]] = {
    "frontend": FrontEndExtractor,
    "states": StatesExtractor,
    "layers": LayersExtractor,
}
"""Kind of kept output -> its extractor."""
