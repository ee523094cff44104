"""Which features run where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_clips import KINDS, write_good_clips

from emoadapt import schema
from emoadapt.config import Study, load_study
from emoadapt.errors import ConfigError
from emoadapt.extraction import shards
from emoadapt.extraction.recipes import describe_recipe
from emoadapt.flow.fingerprints import fingerprint_file
from emoadapt.storage.tables import read_table, write_table


def make_study(root: Path, device: str = "cpu", **features: Any) -> Study:
    return load_study(
        {
            "study": "test",
            "device": device,
            "corpora": {"c": {"importer": "folder", "root": str(root)}},
            "features": {"faces": {"detector": "haar"}, "transcript": {"engine": "pocketsphinx"}, **features},
        }
    )


@pytest.mark.parametrize(
    ("feature", "threads", "n_workers"),
    [
        ("audio", 1, 1),
        ("audio", 3, 3),
        ("faces", 2, 2),
        ("egemaps", 1, 0),
        ("egemaps", 2, 2),
        ("transcript", 2, 2),
        ("transcript", 1, 0),
        ("face_embedding", 4, 0),
    ],
)
def test_features_that_gain_from_it_run_in_workers(tmp_path: Path, feature: str, threads: int, n_workers: int) -> None:
    assert shards._choose_workers(make_study(tmp_path), feature, threads) == ("cpu", n_workers)


def test_a_gpu_is_given_to_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    study = make_study(tmp_path, "cuda", faces={"detector": "mtcnn"}, transcript={"engine": "whisper"})
    assert shards._choose_workers(study, "faces", 4) == ("cuda", 1)
    assert shards._choose_workers(study, "transcript", 4) == ("cuda", 0)
    assert shards._choose_workers(study, "audio", 4) == ("cpu", 4)


def test_missing_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    study = make_study(tmp_path, "cuda", faces={"detector": "mtcnn"})
    with pytest.raises(ConfigError, match="device is cuda, but no GPU was found"):
        shards._choose_workers(study, "faces", 1)
    assert shards._choose_workers(study, "audio", 1) == ("cpu", 1)


JOB = """
import sys
from pathlib import Path
from emoadapt.config import read_study
from emoadapt.extraction.shards import extract_shard
if __name__ == "__main__":
    study, manifest = read_study(["study.json"]), Path("manifest.parquet")
    for feature in ("audio", "faces"):
        extract_shard(study, feature, "c", [manifest], Path(feature, "000.parquet"), threads=2)
    print(*sorted({name.partition(".")[0] for name in sys.modules} & {"av", "cv2", "torch", "onnxruntime"}))
"""


def test_the_parent_loads_no_decoder(tmp_path: Path) -> None:
    """And rows of good and bad clips arrive in the table as they should."""
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "study.json").write_text(make_study(tmp_path).model_dump_json())
    write_good_clips(tmp_path, 2)
    names = ["good0.mp4", "good1.mp4"]
    for kind in KINDS:
        if kind.name in ("cut_film", "8_khz"):
            kind.make(tmp_path / kind.file)
            names.append(kind.file)
    rows = [
        {"utterance_id": f"c/{name}", "media": name, "fingerprint": fingerprint_file(tmp_path / name)}
        for name in sorted(names)
    ]
    write_table(tmp_path / "manifest.parquet", rows, schema.MANIFEST)
    done = subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n"
    for feature, outcomes in (("audio", ["narrow_band", "truncated", None, None]), ("faces", ["no_video_stream", "truncated", None, None])):  # fmt: skip
        found = read_table(tmp_path / feature / "000.parquet", schema.feature_table(feature)).to_pylist()
        assert [row["reason"] and row["reason"].partition(":")[0] for row in found] == outcomes
        assert [row["status"] for row in found][-2:] == ["ok", "ok"]


def test_how_a_job_runs_changes_no_row(tmp_path: Path) -> None:
    """Neither the stall limit nor the threads are part of a row's key."""
    study = make_study(tmp_path)
    other = study.model_copy(
        update={"extraction_threads": 7, "features": study.features.model_copy(update={"stall_limit": 9.0})}
    )
    for feature in ("audio", "faces", "egemaps"):
        assert describe_recipe(other, feature) == describe_recipe(study, feature)
    shorter = make_study(tmp_path, audio={"max_seconds": 60.0})
    assert describe_recipe(shorter, "audio") != describe_recipe(study, "audio")
