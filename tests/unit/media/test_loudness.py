"""Levels of samples, worked out by hand."""

import numpy as np
import pytest

from emoadapt.media.loudness import measure_power, to_decibels


def test_power_is_that_of_each_frame_and_of_a_shorter_rest() -> None:
    samples = np.array([16384] * 4 + [-32768] * 4 + [8192] * 2, np.int16)
    np.testing.assert_allclose(measure_power(samples, 4), [1 / 4, 1, 1 / 16])
    np.testing.assert_allclose(measure_power(samples[:3], 4), [1 / 4])


def test_level_of_a_full_scale_sine_is_minus_3_decibels() -> None:
    sine = np.round(32767 * np.sin(np.linspace(0, 200 * np.pi, 16000, endpoint=False))).astype(np.int16)
    (power,) = measure_power(sine, len(sine))
    assert to_decibels(float(power)) == pytest.approx(-3.01, abs=0.01)
    assert to_decibels(0.0) == -100 and to_decibels(1e-13, floor=-120.0) == -120
