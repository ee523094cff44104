"""ComParE frames: contours as openSMILE's, deltas by their formula, windows of G22."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensmile
import pytest

from emoadapt.features.base import Context
from emoadapt.features.compare_frames import Config as CompareFramesConfig
from emoadapt.features.compare_frames import load as load_compare_frames

TIME = np.arange(24_000) / 16_000
RANDOM = np.random.default_rng(0)
SAMPLES = (
    (3000 * sum(np.sin(2 * np.pi * 180 * k * TIME) / k for k in range(1, 20)) + 100 * RANDOM.standard_normal(24_000))
    * (1 + 0.8 * np.sin(7 * TIME))
).astype("<i2")


def extract(window: str) -> tuple[np.ndarray, tuple[str, ...], float]:
    """(n_frames, 130), names, and the step in s."""
    extractor = load_compare_frames(CompareFramesConfig(window=window), Context(Path()))
    (row,) = extractor.extract([{"audio": SAMPLES.tobytes()}])
    frames = np.frombuffer(row["compare_frames"], "<f4").reshape(row["n_frames"], row["dimension"])
    return frames, extractor.smile.names, row["step"]


def test_stock_equals_the_packages_contours_and_deltas() -> None:
    frames, names, step = extract("stock")
    halves = [
        opensmile.Smile(opensmile.FeatureSet.ComParE_2016, level)
        for level in (opensmile.FeatureLevel.LowLevelDescriptors, opensmile.FeatureLevel.LowLevelDescriptors_Deltas)
    ]
    contours, deltas = (smile(SAMPLES.astype(np.float32) / 32768, 16_000)[0].T for smile in halves)
    assert list(names) == halves[0].feature_names + halves[1].feature_names and step == 0.010
    # The package gives two deltas more, past the end of the clip.
    assert frames.shape == (len(contours), 130) and len(deltas) == len(contours) + 2
    np.testing.assert_array_equal(frames[:, :65], contours)
    np.testing.assert_array_equal(frames[:, 65:], deltas[:-2])


@pytest.mark.parametrize("window", ["paper", "paper_pitch60", "stock"])
def test_deltas_are_regression_slopes_of_their_own_contour(window: str) -> None:
    """Sum of w (x[t + w] - x[t - w]) over w = 1, 2, divided by 2 (1 + 4)."""
    frames, names, _ = extract(window)
    for name in ("pcm_RMSenergy_sma", "audspec_lengthL1norm_sma", "mfcc_sma[3]"):
        column = names.index(name)
        contour, delta = frames[:, column].astype(np.float64), frames[:, 65 + column]
        slope = sum(w * (contour[2 + w : len(contour) - 2 + w] - contour[2 - w : len(contour) - 2 - w]) for w in (1, 2))
        np.testing.assert_allclose(delta[2:-2], slope / 10, atol=1e-5 * np.abs(slope).max())


def test_paper_has_windows_of_32_ms_every_16() -> None:
    frames, _, step = extract("paper")
    assert step == 0.016
    assert frames.shape == ((24_000 - 512) // 256 + 2, 130) and np.isfinite(frames).all()
