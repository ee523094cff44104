"""Samples as tables hold them, and as models read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def from_bytes(audio: bytes) -> NDArray[np.int16]:
    """Samples of an audio column: (n_samples,) int16, read-only."""
    return np.frombuffer(audio, "<i2")


def to_float(audio: bytes | NDArray[np.int16]) -> NDArray[np.float32]:
    """int16 samples, or the bytes of an audio column, as (n_samples,) float32 in [-1, 1)."""
    samples = from_bytes(audio) if isinstance(audio, bytes) else audio
    if samples.dtype != np.int16:
        raise TypeError(f"samples must be int16, they are {samples.dtype}")
    return samples.astype(np.float32) / np.float32(32768)
