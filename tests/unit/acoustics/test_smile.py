"""Our way to run openSMILE against its Python package, to the bit; and what becomes of bad clips, for each feature."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import opensmile
import pyarrow as pa
import pytest
from opensmile import FeatureLevel, FeatureSet
from opensmile.core.lib import OpenSmileException

from emoadapt import schema
from emoadapt.acoustics.components import WINDOWS
from emoadapt.acoustics.smile import COMPARE, EGEMAPS, Smile
from emoadapt.config import Features
from emoadapt.errors import ClipError, ModelError
from emoadapt.extraction.recipes import load_extractor
from emoadapt.features.base import Context, Extractor

FEATURES = ("egemaps", "egemaps_functionals", "egemaps_frames", "compare_functionals", "compare_frames")
LLD, DELTAS, FUNCTIONALS = (
    FeatureLevel.LowLevelDescriptors,
    FeatureLevel.LowLevelDescriptors_Deltas,
    FeatureLevel.Functionals,
)


def make_speech(seconds: float, seed: int = 0) -> np.ndarray:
    """(n_samples,) int16: voiced stretches with moving pitch and formants, noisy ones, and pauses."""
    random = np.random.default_rng(seed)
    n = round(seconds * 16000)
    time = np.arange(n) / 16000
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2.2 * time) + 15 * np.sin(9 * time)) / 16000
    formants = [(500 + 150 * np.sin(3 * time), 1.0), (1500 + 400 * np.sin(2 * time), 0.5), (2600 + 0 * time, 0.2)]
    voice = np.zeros(n)
    for k in range(1, 40):
        level = sum(gain / (1 + ((k * 150 - centre) / 120) ** 2) for centre, gain in formants)
        voice += (0.02 + level) * np.sin(k * phase)
    syllable = np.sin(2 * np.pi * 1.7 * time)
    noise = random.standard_normal(n) * np.where(syllable < -0.5, 0.15, 0.003)
    samples = voice * np.clip(syllable + 0.2, 0, None) + noise
    return np.clip(5000 * samples, -32768, 32767).astype("<i2")


@cache
def extractor(feature: str) -> Extractor:
    return load_extractor(feature)(getattr(Features(), feature), Context(Path()))


def extract(feature: str, samples: np.ndarray) -> dict[str, Any]:
    (result,) = extractor(feature).extract([{"audio": samples.astype("<i2").tobytes()}])
    return result


def read(feature: str, result: dict[str, Any]) -> np.ndarray:
    """(n_frames, dimension); one frame for vectors."""
    if isinstance(result[feature], bytes):
        return np.frombuffer(result[feature], "<f4").reshape(result["n_frames"], result["dimension"])
    return result[feature][None]


@pytest.mark.parametrize(
    ("configuration", "feature_set", "level", "package_level", "size"),
    [
        (EGEMAPS, FeatureSet.eGeMAPSv02, "lld", LLD, 25),
        (EGEMAPS, FeatureSet.eGeMAPSv02, "func", FUNCTIONALS, 88),
        (COMPARE, FeatureSet.ComParE_2016, "lld", LLD, 65),
        (COMPARE, FeatureSet.ComParE_2016, "lld_de", DELTAS, 65),
        (COMPARE, FeatureSet.ComParE_2016, "func", FUNCTIONALS, 6373),
    ],
)
def test_equals_the_package_to_the_bit(
    configuration: str, feature_set: FeatureSet, level: str, package_level: FeatureLevel, size: int
) -> None:
    theirs = opensmile.Smile(feature_set, package_level)
    ours = Smile(configuration, level, WINDOWS["stock"], size)
    assert list(ours.names) == theirs.feature_names
    # Of different lengths and one twice: nothing of a clip may be left for the next.
    clips = [make_speech(1.3, 1), make_speech(0.06, 2), make_speech(2.1, 3), make_speech(1.3, 1)]
    for samples in clips:
        expected = theirs(samples.astype(np.float32) / 32768, 16000)[0].T
        np.testing.assert_array_equal(ours.describe(samples.tobytes()), expected)


@pytest.mark.parametrize("name", ["paper", "paper_pitch60"])
@pytest.mark.parametrize(
    ("configuration", "file", "size"),
    [
        (EGEMAPS, "gemaps/v01b/GeMAPSv01b_core.lld.conf.inc", 25),
        (COMPARE, "compare/ComParE_2016_core.lld.conf.inc", 65),
    ],
)
def test_other_windows_equal_the_packages_configuration_with_those_lines_edited(
    tmp_path: Path, name: str, configuration: str, file: str, size: int
) -> None:
    shutil.copytree(Path(opensmile.__file__).parent / "core" / "config", tmp_path / "config")
    text = (tmp_path / "config" / file).read_text().replace("frameStep = 0.010", "frameStep = 0.016")
    text = text.replace("frameSize = 0.020", "frameSize = 0.032")
    if name == "paper":
        text = text.replace("frameSize = 0.060", "frameSize = 0.032")
    (tmp_path / "config" / file).write_text(text)
    samples = make_speech(1.0)
    expected = opensmile.Smile(str(tmp_path / "config" / configuration), "lld")(
        samples.astype(np.float32) / 32768, 16000
    )
    found = Smile(configuration, "lld", WINDOWS[name], size).describe(samples.tobytes())
    np.testing.assert_array_equal(found, expected[0].T)


@pytest.mark.parametrize(
    ("feature", "feature_set"),
    [("egemaps_functionals", FeatureSet.eGeMAPSv02), ("compare_functionals", FeatureSet.ComParE_2016)],
)
def test_functionals_are_those_of_the_feature_set(feature: str, feature_set: FeatureSet) -> None:
    samples = make_speech(1.5, 4)
    frame = opensmile.Smile(feature_set, FUNCTIONALS).process_signal(samples.astype(np.float32) / 32768, 16000)
    found = extract(feature, samples)[feature]
    assert found.dtype == np.float32 and extractor(feature).smile.names == tuple(frame.columns)
    np.testing.assert_array_equal(found, frame.to_numpy()[0])


@pytest.mark.parametrize(
    ("feature", "shortest"),
    [
        ("egemaps", 960),
        ("egemaps_frames", 960),
        ("compare_frames", 960),
        ("egemaps_functionals", 960),
        ("compare_functionals", 960),
    ],
)
def test_a_clip_shorter_than_the_longest_window_fails(feature: str, shortest: int) -> None:
    speech = make_speech(1.0)[3000:]
    assert np.isfinite(read(feature, extract(feature, speech[:shortest]))).all()
    for n in (0, 1, 320, shortest - 1):
        assert extract(feature, speech[:n]) == {
            "status": "failed",
            "reason": f"too_short: {n} samples, the longest analysis window has {shortest}",
        }


@pytest.mark.parametrize("feature", FEATURES)
def test_near_silent_and_constant_clips_give_numbers(feature: str) -> None:
    quiet = np.random.default_rng(0).integers(-1, 2, 8000)
    square = np.where(np.arange(8000) % 100 < 50, 32767, -32768)
    for samples in (np.zeros(8000), np.full(8000, 700), np.full(8000, -32768), quiet, square):
        values = read(feature, extract(feature, samples))
        assert values.dtype == np.float32 and np.isfinite(values).all()


def test_descriptors_without_a_number_are_a_problem_of_the_clip() -> None:
    """Linear prediction of a contour that is constant but for a click gives none."""
    click = np.zeros(16000)
    click[8000] = 1
    result = extract("compare_functionals", click)
    assert result["status"] == "failed"
    assert result["reason"].startswith(
        "not_finite: openSMILE gives no number for pcm_fftMag_spectralSlope_sma_lpgain, "
    )
    assert result["reason"].endswith(" and 9 more")
    for feature in set(FEATURES) - {"compare_functionals"}:
        assert np.isfinite(read(feature, extract(feature, click))).all()


@pytest.mark.parametrize("feature", FEATURES)
def test_results_fit_the_table(feature: str) -> None:
    result = extract(feature, make_speech(0.5))
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", "reason": None} | result
    table = pa.Table.from_pylist([row], schema=schema.feature_table(feature))
    assert set(row) == set(table.column_names) and all(table[name].null_count == 0 for name in result)


def break_off() -> None:
    raise OpenSmileException(1, "out of range")


@pytest.mark.parametrize(("run", "reason"), [(break_off, "out of range"), (lambda: None, "no frame came out")])
def test_a_clip_on_which_opensmile_breaks_off_costs_one_row(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], None], reason: str
) -> None:
    smile = Smile(EGEMAPS, "lld", WINDOWS["paper"], 25)
    audio = make_speech(0.5).tobytes()
    expected = smile.describe(audio)
    broken = smile._engine
    monkeypatch.setattr(broken, "run", run)
    with pytest.raises(ClipError, match=f"opensmile_failed: Code: 1, Message: {reason}"):
        smile.describe(audio)
    # Symptom: every such clip kept an instance, some 8 MB with the functionals, until the job ended.
    assert broken._smileobj is None
    np.testing.assert_array_equal(smile.describe(audio), expected)


def test_another_number_of_descriptors_is_refused() -> None:
    with pytest.raises(ModelError, match=r"gives 25 descriptors on lld of egemaps/v02/eGeMAPSv02\.conf, not 26"):
        Smile(EGEMAPS, "lld", WINDOWS["stock"], 26)


def test_long_clips_beat() -> None:
    beats: list[int] = []
    smile = Smile(COMPARE, "lld", WINDOWS["stock"], 65, lambda: beats.append(1))
    smile.describe(np.zeros(16000 * 25, "<i2").tobytes())
    # 25 s at 100 frames a second
    assert len(beats) == 2


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    smile = Smile(EGEMAPS, "lld", WINDOWS["paper"], 25)
    smile.describe(make_speech(0.2).tobytes())
    assert list(tmp_path.iterdir()) == []


def test_extractors_can_be_built_in_a_fresh_process() -> None:
    samples = make_speech(0.4)
    parts = [(load_extractor(name), getattr(Features(), name), Context(Path())) for name in FEATURES]
    text = (
        "import pickle, sys\nparts, audio = pickle.load(sys.stdin.buffer)\n"
        "rows = [kind(config, context).extract([{'audio': audio}])[0] for kind, config, context in parts]\n"
        "pickle.dump(rows, sys.stdout.buffer)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], input=pickle.dumps((parts, samples.tobytes())), capture_output=True, check=True
    )
    for name, result in zip(FEATURES, pickle.loads(done.stdout), strict=True):
        np.testing.assert_array_equal(read(name, result), read(name, extract(name, samples)))
