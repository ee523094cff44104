"""The descriptors against openSMILE itself, and against signals whose descriptors are known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import opensmile
import pyarrow as pa
import pytest
import soundfile

from emoadapt import schema
from emoadapt.features.base import Context, Extractor
from emoadapt.features.compare_frames import Config as CompareFramesConfig
from emoadapt.features.egemaps import DESCRIPTORS, FIRST_FORMANT, FIRST_VOICED, PITCH
from emoadapt.features.egemaps import Config as EgemapsConfig
from emoadapt.features.egemaps import load as load_egemaps
from emoadapt.features.egemaps_frames import Config as EgemapsFramesConfig


@pytest.fixture(scope="module")
def paper() -> Extractor:
    return load_egemaps(EgemapsConfig(window="paper"), Context(Path()))


@pytest.fixture(scope="module")
def pitch60() -> Extractor:
    return load_egemaps(EgemapsConfig(window="paper_pitch60"), Context(Path()))


@pytest.fixture(scope="module")
def stock() -> Extractor:
    return load_egemaps(EgemapsConfig(window="stock"), Context(Path()))


def make_voice(pitch: float, seconds: float, seed: int = 0) -> np.ndarray:
    """(n_samples,) int16: harmonics of one pitch whose level falls with frequency, and a little noise."""
    time = np.arange(round(seconds * 16000)) / 16000
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(time))
    return (6000 * (tone + noise)).astype(np.int16)


def describe(extractor: load_egemaps, samples: np.ndarray) -> dict[str, float]:
    result = extractor.extract([{"audio": samples.tobytes()}])[0]
    return dict(zip(DESCRIPTORS, result["egemaps"].tolist(), strict=True))


def contours(extractor: load_egemaps, samples: np.ndarray) -> np.ndarray:
    """(25, n_frames)."""
    return extractor.smile.describe(samples.astype("<i2").tobytes()).T


def test_stock_is_the_mean_of_opensmiles_contours(stock: Extractor) -> None:
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    for seed, pitch in enumerate((110.0, 220.0)):
        samples = make_voice(pitch, 1.5, seed)
        frame = smile.process_signal(samples.astype(np.float32) / 32768, 16000)
        assert tuple(frame.columns) == DESCRIPTORS
        vector = stock.extract([{"audio": samples.tobytes()}])[0]["egemaps"]
        assert vector.dtype == np.float32 and vector.shape == (25,)
        np.testing.assert_allclose(vector, frame.mean().to_numpy(), rtol=1e-5, atol=1e-6)


FUNCTIONALS = {name: f"{name}_amean" for name in DESCRIPTORS[FIRST_VOICED:] if "amplitude" not in name}
"""Descriptors of voiced frames whose mean is a functional of eGeMAPS; that of levels counts -201 dB of unvoiced frames."""


@pytest.mark.skipif("EMOADAPT_DATA" not in os.environ, reason="EMOADAPT_DATA is not set")
def test_means_over_voiced_frames_are_opensmiles_functionals() -> None:
    voiced = load_egemaps(EgemapsConfig(window="stock", means="voiced"), Context(Path()))
    everywhere = load_egemaps(EgemapsConfig(window="stock"), Context(Path()))
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    for file in sorted(Path(os.environ["EMOADAPT_DATA"], "emodb").rglob("*.flac"))[::60]:
        samples = soundfile.read(file, dtype="int16")[0]
        found, plain = describe(voiced, samples), describe(everywhere, samples)
        expected = smile.process_signal(samples.astype(np.float32) / 32768, 16000).iloc[0]
        for name, functional in FUNCTIONALS.items():
            formant = name.startswith(("F1", "F2", "F3"))
            assert found[name] == pytest.approx(expected[functional], rel=0.02 if formant else 1e-4), name
        assert all(found[name] == plain[name] for name in DESCRIPTORS[:FIRST_VOICED])
        levels = [name for name in DESCRIPTORS if "amplitude" in name]
        assert all(found[name] > plain[name] for name in levels), "no -201 dB of unvoiced frames"


def test_places_of_the_descriptors_of_voiced_frames() -> None:
    assert [name.endswith("_sma3nz") for name in DESCRIPTORS] == [False] * FIRST_VOICED + [True] * 15
    assert DESCRIPTORS[PITCH].startswith("F0") and DESCRIPTORS[FIRST_FORMANT] == "F1frequency_sma3nz"


def test_a_clip_without_a_voiced_frame_says_so() -> None:
    noise = np.random.default_rng(0).integers(-50, 50, 16000).astype(np.int16)
    extractor = load_egemaps(EgemapsConfig(means="voiced"), Context(Path()))
    (found,) = extractor.extract([{"audio": noise.tobytes()}])
    assert found["reason"] == "unvoiced: no frame is voiced, so that 15 means are 0"
    assert not found["egemaps"][FIRST_VOICED:].any() and found["egemaps"][:FIRST_VOICED].all()


@pytest.mark.parametrize("n", [512, 767, 768, 8000, 16000, 16001, 48123])
def test_paper_has_a_frame_per_window_and_one_of_the_smoother(paper: load_egemaps, n: int) -> None:
    samples = np.random.default_rng(n).integers(-9000, 9000, n).astype(np.int16)
    frames = contours(paper, samples)
    assert frames.shape == (25, (n - 512) // 256 + 1 + 1)
    assert np.isfinite(frames).all()


@pytest.mark.parametrize(("window", "step"), [("paper", 0.016), ("stock", 0.010)])
def test_contours_advance_by_the_step(request: pytest.FixtureRequest, window: str, step: float) -> None:
    # Noise that becomes 20 dB louder at 1.5 s: loudness jumps in the frames around it.
    samples = np.random.default_rng(0).standard_normal(48000) * 300
    samples[24000:] *= 10
    loudness = contours(request.getfixturevalue(window), samples)[DESCRIPTORS.index("Loudness_sma3")]
    jump = int(np.argmax(np.diff(loudness)))
    assert jump * step == pytest.approx(1.5, abs=0.04)


def test_the_default_finds_the_pitch_of_a_low_voice(paper: load_egemaps, pitch60: Extractor) -> None:
    default = load_egemaps(EgemapsConfig(), Context(Path()))
    voice, column = make_voice(110.0, 1.0), DESCRIPTORS.index("F0semitoneFrom27.5Hz_sma3nz")
    np.testing.assert_array_equal(contours(default, voice), contours(pitch60, voice))
    voiced = [(contours(extractor, voice)[column] > 0).mean() for extractor in (default, paper)]
    assert voiced[0] > 0.8 and voiced[1] < 0.2
    windows = {config().window for config in (EgemapsConfig, EgemapsFramesConfig, CompareFramesConfig)}
    assert windows == {"paper_pitch60"}


@pytest.mark.parametrize(
    ("window", "pitch"),
    [
        *[("stock", pitch) for pitch in (110.0, 165.0, 220.0)],
        *[("pitch60", pitch) for pitch in (110.0, 165.0, 220.0)],
        *[("paper", pitch) for pitch in (220.0, 300.0)],
    ],
)
def test_pitch_in_semitones(request: pytest.FixtureRequest, window: str, pitch: float) -> None:
    frames = contours(request.getfixturevalue(window), make_voice(pitch, 1.0))
    semitones = frames[DESCRIPTORS.index("F0semitoneFrom27.5Hz_sma3nz")]
    # 12 log2(f / 27.5): 24 at 110 Hz, 36 at 220 Hz.
    assert (semitones > 0).mean() > 0.8
    assert np.median(semitones[semitones > 0]) == pytest.approx(12 * np.log2(pitch / 27.5), abs=0.35)


def test_windows_differ_but_describe_the_same_voice(paper: load_egemaps, stock: Extractor) -> None:
    samples = make_voice(230.0, 2.0)
    a, b = describe(paper, samples), describe(stock, samples)
    assert a != b
    assert a["Loudness_sma3"] == pytest.approx(b["Loudness_sma3"], rel=0.35)
    assert a["F0semitoneFrom27.5Hz_sma3nz"] == pytest.approx(b["F0semitoneFrom27.5Hz_sma3nz"], abs=1.5)


def test_louder_is_louder_and_unvoiced_counts_as_zero(paper: Extractor) -> None:
    voice = make_voice(230.0, 1.0)
    assert describe(paper, voice)["Loudness_sma3"] > 1.5 * describe(paper, voice // 8)["Loudness_sma3"]
    half = np.concatenate([voice, np.random.default_rng(0).integers(-50, 50, len(voice)).astype(np.int16)])
    whole, mixed = describe(paper, voice), describe(paper, half)
    assert mixed["F0semitoneFrom27.5Hz_sma3nz"] == pytest.approx(whole["F0semitoneFrom27.5Hz_sma3nz"] / 2, rel=0.15)


@pytest.mark.parametrize(("window", "shortest"), [("paper", 512), ("pitch60", 960), ("stock", 960)])
def test_clips_shorter_than_a_window_fail(request: pytest.FixtureRequest, window: str, shortest: int) -> None:
    extractor = request.getfixturevalue(window)
    samples = make_voice(200.0, 1.0)
    assert np.isfinite(list(describe(extractor, samples[:shortest]).values())).all()
    result = extractor.extract([{"audio": samples[: shortest - 1].tobytes()}])[0]
    assert result["status"] == "failed" and result["reason"].startswith("too_short:")


def test_silence_and_full_scale_give_numbers(paper: load_egemaps, stock: Extractor) -> None:
    square = np.where(np.arange(8000) % 100 < 50, 32767, -32768).astype(np.int16)
    impulse = np.zeros(8000, np.int16)
    impulse[4000] = 1
    for extractor in (paper, stock):
        for samples in (square, impulse, np.zeros(8000, np.int16)):
            assert np.isfinite(list(describe(extractor, samples).values())).all()


def test_results_fit_the_table(paper: Extractor) -> None:
    result = paper.extract([{"audio": make_voice(150.0, 0.5).tobytes()}])[0]
    table = pa.Table.from_pylist(
        [{"utterance_id": "c/x", "key": "k", "status": "ok", **result}], schema=schema.feature_table("egemaps")
    )
    assert len(table["egemaps"][0].as_py()) == 25


@pytest.mark.skipif("EMOADAPT_DATA" not in os.environ, reason="EMOADAPT_DATA is not set")
@pytest.mark.parametrize("window", ["paper", "pitch60", "stock"])
def test_real_speech_has_plausible_values(request: pytest.FixtureRequest, window: str) -> None:
    files = sorted(Path(os.environ["EMOADAPT_DATA"], "emodb").rglob("*.flac"))[::40]
    rows = [{"audio": soundfile.read(file, dtype="int16")[0].tobytes()} for file in files]
    for result in request.getfixturevalue(window).extract(rows):
        values = dict(zip(DESCRIPTORS, result["egemaps"].tolist(), strict=True))
        assert (0 if window == "paper" else 5) <= values["F0semitoneFrom27.5Hz_sma3nz"] < 45
        assert 250 < values["F1frequency_sma3nz"] < values["F2frequency_sma3nz"] < values["F3frequency_sma3nz"] < 4000
