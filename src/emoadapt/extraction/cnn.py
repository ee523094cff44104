"""Output of a backbone's frozen CNN encoder, computed once per utterance and never on padded audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import Layout, guard

if TYPE_CHECKING:
    from emoadapt.models.backbones import SpeechBackbone


LAYOUT = Layout(schema.CNN, ("audio",))


class CnnExtractor:
    """float16 CNN frames of one backbone.

    Args:
        backbone: its CNN encoder is run as it stands, clip by clip, on the device it is on.
    """

    def __init__(self, backbone: SpeechBackbone) -> None:
        self.backbone = backbone.eval()

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`cnn`, `n_frames` and `dimension` of each row's `audio`."""
        return [guard(self._encode, row) for row in rows]

    def _encode(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        samples = np.frombuffer(row["audio"], dtype="<i2").astype(np.float32) / 32768
        with torch.inference_mode():
            frames, _ = self.backbone.encode_cnn([torch.from_numpy(samples)])
        halves = frames[0].to(torch.float16).cpu().numpy()
        if not np.isfinite(halves).all():
            raise ClipError("cnn_overflow", f"CNN output of {float(frames.abs().max()):.3g} does not fit float16")
        n_frames, dimension = halves.shape
        return {"cnn": halves.astype("<f2").tobytes(), "n_frames": n_frames, "dimension": dimension}
