"""eGeMAPS frames: their mean, their number, their place in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emoadapt.features.base import Context, Extractor
from emoadapt.features.egemaps import DESCRIPTORS
from emoadapt.features.egemaps import Config as EgemapsConfig
from emoadapt.features.egemaps import load as load_egemaps
from emoadapt.features.egemaps_frames import Config as EgemapsFramesConfig
from emoadapt.features.egemaps_frames import load as load_egemaps_frames


def build(window: str = "paper", step_ms: int | None = None) -> Extractor:
    return load_egemaps_frames(EgemapsFramesConfig(window=window, step_ms=step_ms), Context(Path()))


def extract(extractor: load_egemaps_frames, samples: np.ndarray) -> tuple[np.ndarray, float]:
    """(n_frames, 25), and the step in s."""
    (row,) = extractor.extract([{"audio": samples.astype("<i2").tobytes()}])
    return np.frombuffer(row["egemaps_frames"], "<f4").reshape(row["n_frames"], row["dimension"]), row["step"]


@pytest.mark.parametrize("window", ["paper", "paper_pitch60", "stock"])
def test_the_mean_is_the_feature_egemaps(window: str) -> None:
    time = np.arange(20_000) / 16_000
    samples = 4000 * sum(np.sin(2 * np.pi * 210 * k * time) / k for k in range(1, 15)) * (1 + np.sin(5 * time))
    frames, _ = extract(build(window), samples)
    (row,) = load_egemaps(EgemapsConfig(window=window), Context(Path())).extract(
        [{"audio": samples.astype("<i2").tobytes()}]
    )
    np.testing.assert_allclose(frames.mean(axis=0, dtype=np.float64), row["egemaps"], rtol=1e-6)


@pytest.mark.parametrize(
    ("window", "step_ms", "step", "longest"),
    [
        ("paper", None, 0.016, 512),
        ("stock", None, 0.010, 960),
        ("stock", 20, 0.020, 960),
        ("paper", 10, 0.010, 512),
        ("paper_pitch60", 20, 0.020, 960),
    ],
)
def test_frames_come_at_the_step(window: str, step_ms: int | None, step: float, longest: int) -> None:
    # Noise that becomes 20 dB louder at 1.5 s.
    samples = np.random.default_rng(0).standard_normal(48_000) * 300
    samples[24_000:] *= 10
    frames, found = extract(build(window, step_ms), samples)
    assert found == step
    # One frame per full window, and one that the smoother adds.
    assert frames.shape == ((48_000 - longest) // round(step * 16_000) + 2, 25)
    loudness = frames[:, DESCRIPTORS.index("Loudness_sma3")]
    assert int(np.argmax(np.diff(loudness))) * step == pytest.approx(1.5, abs=0.05)
