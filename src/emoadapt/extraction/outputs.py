"""Extractors of outputs of frozen backbones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import guard

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from emoadapt.layers.speech import SpeechBackbone


class KeptExtractor:
    """Outputs of one backbone, clip by clip.

    Args:
        backbone: is run as it stands, on the device it is on.
    """

    table: ClassVar[pa.Schema]

    def __init__(self, backbone: SpeechBackbone) -> None:
        self.backbone = backbone.eval()

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The columns of `table` of each row's `audio`."""
        return [guard(self._extract, row) for row in rows]

    def _extract(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        samples = np.frombuffer(row["audio"], dtype="<i2").astype(np.float32) / 32768
        with torch.inference_mode():
            return self.run(torch.from_numpy(samples))

    @abstractmethod
    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """The columns of a clip, (n_samples,)."""


class FrontEndExtractor(KeptExtractor):
    """float16 frames of the front end."""

    table = schema.FRONTEND

    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """`frontend`, `n_frames` and `dimension`."""
        import torch

        frames, _ = self.backbone.encode_cnn([clip])
        halves = frames[0].to(torch.float16).cpu().numpy()
        if not np.isfinite(halves).all():
            raise ClipError(
                "frontend_overflow", f"front-end output of {float(frames.abs().max()):.3g} does not fit float16"
            )
        return {"frontend": halves.astype("<f2").tobytes(), "n_frames": len(halves), "dimension": halves.shape[1]}


class LayersExtractor(KeptExtractor):
    """float32 mean over time of each layer."""

    table = schema.LAYERS

    def run(self, clip: torch.Tensor) -> dict[str, Any]:
        """`layers`, `n_frames` and `dimension`."""
        layers = self.backbone.embed_layers([clip])[0].float().cpu().numpy()
        if not np.isfinite(layers).all():
            raise ClipError("layers_not_finite", "a layer of the backbone is not finite")
        return {"layers": layers.astype("<f4").tobytes(), "n_frames": len(layers), "dimension": layers.shape[1]}


EXTRACTORS: dict[str, type[KeptExtractor]] = {"frontend": FrontEndExtractor, "layers": LayersExtractor}
"""Kind of kept output -> its extractor."""
