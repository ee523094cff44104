"""Benchmarks of small studies and small trainings, on clips that are made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import descriptors
import numpy as np
import pytest
import soundfile
from project import ROOT, make_tone
from small_study import NEW_CLIP, add_clip
from startup import measure_floor, name_kind

pytestmark = pytest.mark.slow

EMOTIONS = {"W": 400, "F": 300, "N": 200, "T": 120}
"""Letter of an emotion in EmoDB's names -> pitch of its tones, Hz."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers who say each emotion twice."""
    root = tmp_path_factory.mktemp("data")
    (root / "emodb").mkdir()
    for speaker in (3, 8, 9):
        for letter, pitch in EMOTIONS.items():
            for take, name in enumerate(("a01", "a02")):
                tone = make_tone(speaker * 10 + take, pitch + speaker).astype(np.float32)
                soundfile.write(root / f"emodb/{speaker:02d}{name}{letter}a.wav", tone, 16_000)
    return root


def test_the_small_study_and_the_script_do_the_same_work(data: Path) -> None:
    said, found = measure(data, "classical", "dry_run")
    assert found["clips"] == 24 and found["uar"] > 0.5, "four tones are told apart better than by chance"
    assert found["study"]["dry_run"]["jobs"] == 12
    assert found["plain"] > 0.5 and "all to do" in said


@pytest.mark.skipif(not os.environ.get("EMOADAPT_MODELS"), reason="EMOADAPT_MODELS names no weights")
def test_the_pretrained_study_and_the_script_find_the_same(data: Path) -> None:
    """Layers of a real Whisper, inner folds and the choice of the layer, in openai-whisper and scikit-learn."""
    said, found = measure(data, "pretrained", "cold")
    assert found["clips"] == 24 and found["study"]["cold"]["jobs"] == 12
    assert found["ours"]["macro_f1"] == pytest.approx(found["macro_f1"], abs=1e-9)
    assert "from an empty folder" in said


def measure(data: Path, study: str, question: str) -> tuple[str, dict[str, Any]]:
    """What `small_study.py` prints, and its line of JSON."""
    command = [sys.executable, str(ROOT / "benchmarks/small_study.py"), "--data", str(data)]
    command += ["--studies", study, "--questions", question]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


def test_the_added_clip_is_a_new_one(data: Path) -> None:
    before = {path.name for path in (data / "emodb").iterdir()}
    add_clip(data)
    assert {path.name for path in (data / "emodb").iterdir()} - before == {f"{NEW_CLIP}.wav"}
    (data / f"emodb/{NEW_CLIP}.wav").unlink()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ("extract audio emodb a.parquet --output b.parquet", "extract audio"),
        ("train emotions tiny.original full --runs p0f0r0s0", "train default"),
        ("train emotions egemaps.original.svm full --runs p0f0r0s0", "train svm"),
        ("report --tables a", "report"),
    ],
)
def test_kinds_of_jobs(arguments: str, kind: str) -> None:
    assert name_kind(arguments.split()) == kind


def test_the_floor_grows_with_what_is_imported() -> None:
    assert 0 < measure_floor([]) < measure_floor(["pyarrow", "polars"])


def test_a_head_on_descriptors_is_timed_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "EPOCHS", 2)
    clips = descriptors.read_clips(None)
    times = descriptors.time_ours(descriptors.write_job(clips, tmp_path)), descriptors.time_plain(clips)
    assert [len(fits) for fits in times] == [descriptors.FITS] * 2 and all(min(fits) > 0 for fits in times)


def test_the_benchmark_of_whisper_trains_both_sides() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/whisper_encoder.py"), "--batch", "1", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["frozen", "all"]


def test_memory_of_a_probe_follows_the_batch_and_not_the_clips() -> None:
    """Symptom: the layers of all clips were held, twice if they were z-scored: 1.9 GB for 4,000 clips of CARE's size."""
    command = [sys.executable, str(ROOT / "benchmarks/probe.py"), "--clips", "400", "--epochs", "1", "--runs", "1"]
    done = subprocess.run([*command, "--normalise", "train"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    grown = found["1600"]["peak_mib"] - found["100"]["peak_mib"]
    assert grown < 0.5 * (found["1600"]["layers_mib"] - found["100"]["layers_mib"]), found


def test_the_benchmark_of_augmentation_measures_reading_and_steps() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/augment.py"), "--batch", "1", "--steps", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "EMOADAPT_DATA"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    *rows, steps = map(json.loads, done.stdout.splitlines())
    speeds = {row["read"]: row["audio_s_per_cpu_s"] for row in rows}
    assert len(speeds) == 7 and 0 < max(speed for name, speed in speeds.items() if name != "none") < speeds["none"]
    assert steps["ratio"] >= 1 and steps["cpu_s_with"] > 0
