"""Frames of PASE+, the acoustic targets of CARE (Ravanelli et al. 2020; Dutta & Ganapathy 2025, Sec. III-B).

Every second frame is taken, as in CARE's code (https://github.com/iiscleap/CARE, `pretraining/dataset_pase.py`). That code also scales the
frames of each clip, which the objective `acoustic` does: the mean over time of scaled frames, a baseline of the paper, would be 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, Extractor, Network, TorchSection, guard

INPUTS = ("audio",)
TERMS = None
CHUNK_ROWS = 16
JOB = {"memory_mb": 3000, "minutes": 240}

TABLE = schema.make_feature_table(
    schema.column(
        "pase_frames", pa.binary(), "(n_frames, dimension) float16 little-endian row-major, PASE+'s encoding"
    ),
    schema.column("n_frames", pa.int32(), "frames; frame i begins i * step after the beginning of the clip"),
    schema.column("dimension", pa.int32(), "values of a frame, 256"),
    schema.column("step", pa.float64(), "s, from frame to frame"),
)


class Config(TorchSection):
    """Encoding of speech by PASE+, frame by frame."""

    weights: str | None = "pase_plus"
    """Registered name, or file of the authors' layout (`FE_e199.ckpt`) relative to `models_dir`. null: random weights, for the demo and
    for trials only, named as untrained in every table."""
    seed: int = Field(0, ge=0)
    """Seed of random weights."""
    rate: Literal[50, 100] = 50
    """Frames per second. PASE+ gives 100, of which CARE takes every second one."""

    def describe_network(self) -> Network:
        """The encoder."""
        if self.weights is None:
            return Network("acoustic frames", "PASE+", "untrained", seed=self.seed)
        return Network("acoustic frames", "PASE+", "pretrained", self.weights)

    def list_idle_keys(self) -> set[str]:
        """The seed, where weights are loaded."""
        return set() if self.weights is None else {"seed"}


def load(config: Config, context: Context) -> Extractor:
    """Load the encoder.

    Raises:
        ModelError: its weights are missing, or not of the authors' layout.
    """
    return PaseExtractor(config, context)


class PaseExtractor:
    """Encodes each clip alone; one too short for the last convolution fails (`too_short`)."""

    def __init__(self, config: Config, context: Context) -> None:
        import torch

        from emoadapt.acoustics.pase import build_untrained, load_checkpoint
        from emoadapt.weights.registry import resolve

        torch.set_num_threads(context.threads)
        if config.weights is None:
            network = build_untrained(config.seed)
        else:
            network = load_checkpoint(resolve(config.weights, context.models_dir))
        self.config, self.beat = config, context.beat
        self.network = network.to(context.device)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The feature's columns from each row's `audio`, int16 at 16 kHz."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        import numpy as np
        import torch

        from emoadapt.acoustics.pase import HOP, SHORTEST

        samples = np.frombuffer(row["audio"], "<i2")
        if len(samples) < SHORTEST:
            raise ClipError("too_short", f"{len(samples)} samples, PASE+ needs {SHORTEST}")
        signal = torch.from_numpy(samples.astype(np.float32) / 32768)
        with torch.inference_mode():
            encoded = self.network(signal.to(next(self.network.parameters()).device)).cpu().numpy()
        self.beat()
        every = round(schema.SAMPLE_RATE / HOP / self.config.rate)
        frames = encoded[::every]
        stored = frames.astype("<f2")
        if not np.isfinite(stored).all():
            raise ClipError("not_finite", "PASE+ gives values beyond the range of float16")
        n_frames, dimension = stored.shape
        step = 1 / self.config.rate
        return {"pase_frames": stored.tobytes(), "n_frames": n_frames, "dimension": dimension, "step": step}
