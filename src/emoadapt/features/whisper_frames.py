"""Frames of Whisper's encoder at 50 Hz (Dutta & Ganapathy 2025, Fig. 4).

They are the output of its last layer. A clip keeps its natural length, and one of more than 30 s is read in windows: see `emoadapt.backbones.whisper`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, Extractor, Network, TorchSection, guard

INPUTS = ("audio",)
TERMS = None
CHUNK_ROWS = 16
JOB = {"memory_mb": 6000, "minutes": 720}

STEP = 0.02
"""s from frame to frame."""

TABLE = schema.make_frames_table(
    "whisper_frames", "the last layer of Whisper's encoder, after its layer norm", "float16"
)


class Config(TorchSection):
    """Frames of Whisper's encoder."""

    model: str = "whisper/small"
    """Hub id (`openai/whisper-*`), folder, `.pt` file of OpenAI, or its registered name (`whisper/large-v3`)."""

    def describe_network(self) -> Network:
        """The encoder."""
        return Network("speech frames", "Whisper's encoder", "pretrained", self.model)


def load(config: Config, context: Context) -> Extractor:
    """Load the encoder.

    Raises:
        ModelError: it cannot be had.
    """
    return WhisperFramesExtractor(config, context)


class WhisperFramesExtractor:
    """Runs Whisper's encoder on each clip alone, so that nothing is padded."""

    def __init__(self, config: Config, context: Context) -> None:
        import torch

        from emoadapt.backbones import whisper

        torch.set_num_threads(context.threads)
        section = whisper.Config(architecture="whisper", weights=config.model)
        self.backbone = whisper.load(section, context.models_dir).to(torch.device(context.device)).eval()
        self.beat = context.beat

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`whisper_frames`, `n_frames`, `dimension` and `step` of each row's `audio`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        from emoadapt.samples import to_float

        with torch.inference_mode():
            frames = self.backbone.encode(*self.backbone.encode_cnn([torch.from_numpy(to_float(row["audio"]))]))[0]
        self.beat()
        halves = frames.to(torch.float16).cpu()
        if not halves.isfinite().all():
            raise ClipError("frames_overflow", f"the encoder's output of {frames.abs().max():.3g} does not fit float16")
        values = halves.numpy().astype("<f2").tobytes()
        return {"whisper_frames": values, "n_frames": len(halves), "dimension": halves.shape[1], "step": STEP}
