"""The chains of Ahn et al. 2024 and any transforms of audiomentations, against the transforms' definitions."""

from __future__ import annotations

from typing import Any

import audiomentations
import numpy as np
import pytest
from pydantic import ValidationError

from emoadapt.augmentations import ahn2024
from emoadapt.augmentations import audiomentations as chain
from emoadapt.augmentations.base import Augmenter
from emoadapt.errors import ConfigError

N = 1600
CLIP = (0.1 * np.random.default_rng(0).standard_normal(N)).astype(np.float32)


def draw(kind: int, n: int = 400) -> list[np.ndarray]:
    augment = Augmenter([ahn2024.Config(chain="ahn2024", type=kind)])
    return [augment(CLIP, [0, 0, name]) for name in range(n)]


def share(found: list[bool]) -> float:
    return sum(found) / len(found)


def is_near(observed: float, expected: float, n: int = 400) -> bool:
    """Within four standard errors of a share."""
    return abs(observed - expected) < 4 * (expected * (1 - expected) / n) ** 0.5


def test_type_1_is_a_gain_and_an_inversion_of_probability_three_tenths() -> None:
    ratios = [float(found[0] / CLIP[0]) for found in draw(1)]
    for found, ratio in zip(draw(1), ratios, strict=True):
        np.testing.assert_allclose(found, CLIP * ratio, rtol=1e-5, atol=1e-8)
    assert is_near(share([ratio < 0 for ratio in ratios]), 0.3)
    assert is_near(share([abs(abs(ratio) - 1) > 1e-6 for ratio in ratios]), 0.3)
    decibels = [20 * np.log10(abs(ratio)) for ratio in ratios if abs(abs(ratio) - 1) > 1e-6]
    assert -15.001 < min(decibels) < -13 and 3 < max(decibels) < 5.001


def test_type_2_also_rolls_the_clip_by_up_to_half_of_it() -> None:
    rolled = []
    for found in draw(2):
        spectrum = np.fft.irfft(np.fft.rfft(found) * np.conj(np.fft.rfft(CLIP)))
        rolled.append(place := int(np.argmax(np.abs(spectrum))))
        expected = np.roll(CLIP, place)
        ratio = found @ expected / (expected @ expected)
        np.testing.assert_allclose(found, expected * ratio, rtol=1e-4, atol=1e-7)
    assert is_near(share([place != 0 for place in rolled]), 0.3)
    assert {place > N // 2 for place in rolled if place} == {True, False}


def test_type_3_also_reverses_the_clip() -> None:
    backwards = []
    for found in draw(3):
        backwards.append(abs(found @ CLIP[::-1]) > abs(found @ CLIP))
        expected = CLIP[::-1] if backwards[-1] else CLIP
        np.testing.assert_allclose(np.abs(found / expected), np.abs(found / expected)[0], rtol=1e-4)
    assert is_near(share(backwards), 0.3)


def test_type_4_stops_a_band_and_brings_the_peak_to_one() -> None:
    peaks, whole = [], 0
    for found in draw(4):
        peaks.append(abs(float(np.abs(found).max()) - 1) < 1e-6)
        magnitude = np.sort(np.abs(np.fft.rfft(found)) / np.abs(np.fft.rfft(CLIP)))
        whole += bool(magnitude[-1] - magnitude[0] < 1e-3 * magnitude[-1])  # a roll and a gain change no ratio of bands
    assert is_near(share(peaks), 0.3)
    assert is_near(whole / 400, 0.7)


def test_type_5_adds_noise_of_3_to_30_decibels_below_the_clip() -> None:
    ratios = []
    for found in draw(5):
        scaled = CLIP * (found @ CLIP) / (CLIP @ CLIP)
        noise = np.sum((found - scaled) ** 2)
        ratios.append(np.inf if noise < 1e-9 * np.sum(scaled**2) else 10 * np.log10(np.sum(scaled**2) / noise))
    noisy = [ratio for ratio in ratios if ratio < np.inf]
    assert is_near(len(noisy) / 400, 0.3)
    assert 2 < min(noisy) < 6 and 27 < max(noisy) < 31.5


def test_without_a_type_all_five_are_drawn() -> None:
    """Noise is of type 5 alone, a filter of type 4, a reversal of type 3; each occurs in a fifth of three tenths of the clips."""
    augment = Augmenter([ahn2024.Config(chain="ahn2024")])
    found = [augment(CLIP, [0, 0, name]) for name in range(1000)]
    backwards = [abs(one @ CLIP[::-1]) > 0.99 * np.linalg.norm(one) * np.linalg.norm(CLIP) for one in found]
    assert is_near(share(backwards), 0.06, 1000)
    spectra = [np.abs(np.fft.rfft(one)) / np.abs(np.fft.rfft(CLIP)) for one in found]
    assert is_near(share([bool(np.ptp(one) > 1e-3 * one.max()) for one in spectra]), 0.12, 1000)


def test_transforms_are_those_of_the_library_with_its_defaults() -> None:
    parts = [
        {
            "transform": "HighPassFilter",
            "probability": 1,
            "parameters": {"min_cutoff_freq": 300.0, "max_cutoff_freq": 300.0, "min_rolloff": 12, "max_rolloff": 12},
        },
        {"transform": "TanhDistortion", "probability": 1, "parameters": {"min_distortion": 0.2, "max_distortion": 0.2}},
    ]
    config = chain.Config.model_validate({"chain": "audiomentations", "transforms": parts})
    by_hand = CLIP
    for name, values in ((part["transform"], part["parameters"]) for part in parts):
        by_hand = getattr(audiomentations, str(name))(p=1.0, **values)(by_hand, 16_000)
    found = Augmenter([config])(CLIP, [0, 0, 0])
    assert np.abs(found - CLIP).max() > 1e-2
    np.testing.assert_allclose(found, by_hand, atol=1e-6)


def test_transforms_and_parameters_are_listed_as_the_library_has_them() -> None:
    import inspect

    found = chain.list_transforms()
    assert len(found) > 25
    for name, parameters in found.items():
        taken = inspect.signature(getattr(audiomentations, name)).parameters.values()
        assert {*parameters, "p"} == {one.name for one in taken if one.kind != one.VAR_KEYWORD}, name


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"transform": "Gian"}, "audiomentations has no transform Gian; there is AddColorNoise"),
        ({"transform": "AddBackgroundNoise"}, "AddBackgroundNoise reads files, whose edits a study would not notice"),
        ({"transform": "Lambda"}, "audiomentations has no transform Lambda"),
        (
            {"transform": "Gain", "parameters": {"gain": 1}},
            "Gain has no parameter gain; it has min_gain_db, max_gain_db",
        ),
        ({"transform": "Gain", "parameters": {"p": 1}}, "Gain has no parameter p; it has"),
        ({"transform": "Gain", "probability": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_the_library_lacks_is_refused_when_the_study_is_read(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        chain.Transform.model_validate({"probability": 0.5} | values)


def test_parameters_that_the_library_refuses_are_named() -> None:
    bad = {"min_gain_db": 5.0, "max_gain_db": -5.0}
    with pytest.raises(
        ConfigError, match=r"audiomentations: Gain refuses .*min_gain_db cannot be greater .*; change its"
    ):
        chain.compose([("Gain", 0.5, bad)])
