"""Channels of a decoded frame, mixed to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.errors import ClipError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HIGHEST_PEAK = 100.0
"""Full scale is 1. Floating-point recordings overshoot it by some dB; integers in floating-point format by 90."""


def read_channels(frame: Any, path: Path) -> NDArray[Any]:
    """(n_channels, n_samples) float, full scale 1, of any sample format.

    Raises:
        ClipError: `undecodable`, the format is not read.
    """
    try:
        values = frame.to_ndarray()
    except ValueError:
        raise ClipError("undecodable", f"{path.name}: samples of the format {frame.format.name} are not read") from None
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    if values.dtype.kind == "i":
        full = -float(np.iinfo(values.dtype).min)
        return values.astype(np.float32 if values.dtype == np.int16 else np.float64) / full
    return values


def average_channels(values: NDArray[Any], path: Path) -> tuple[NDArray[np.float32], float]:
    """Mean of the channels, (n_samples,), and its energy.

    FFmpeg's own downmix would weight the channels of 5.1 and leave out the bass.

    Raises:
        ClipError: `not_finite`, or `float_scale` where the samples are no fractions of full scale.
    """
    mono = values[0] if len(values) == 1 else values.mean(axis=0, dtype=np.float64)
    mono = mono.astype(np.float32, copy=False)
    energy = float(mono @ mono)
    # No sample exceeds the root of the energy. The comparison is also false for NaN.
    if not energy < _HIGHEST_PEAK**2:
        _check_values(values, path)
    return mono, energy


def measure_energies(values: NDArray[Any], mono: NDArray[np.float32], energy: float) -> tuple[float, float]:
    """Energy of the mean of the channels, and the mean of theirs, without their offsets: opposite ones cancel in silence too.

    Args:
        values: (n_channels, n_samples).
        mono: (n_samples,), their mean.
        energy: of `mono`.
    """
    offsets, n = values.mean(axis=1, dtype=np.float64), values.shape[1]
    channels = float(np.vdot(values, values)) / len(values) - n * float(np.mean(offsets**2))
    return max(energy - n * float(mono.mean(dtype=np.float64)) ** 2, 0.0), max(channels, 0.0)


def _check_values(values: NDArray[Any], path: Path) -> None:
    if not np.isfinite(values.astype(np.float32)).all():
        raise ClipError("not_finite", f"{path.name} holds samples that are not numbers")
    peak = float(np.abs(values).max())
    if peak > _HIGHEST_PEAK:
        raise ClipError(
            "float_scale",
            f"{path.name} holds samples up to {peak:.0f}, and full scale is 1 in floating-point formats; divide "
            "integers by 32768, or save them as integers",
        )
