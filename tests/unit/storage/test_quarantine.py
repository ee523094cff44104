"""What is listed as set aside, and what as noted."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from emoadapt import schema
from emoadapt.cli import app
from emoadapt.storage.quarantine import collect_quarantine
from emoadapt.storage.tables import read_table, write_table


def test_notes_are_listed_beside_failures(tmp_path: Path) -> None:
    rows = [
        {"utterance_id": "c/a", "status": "ok", "reason": None},
        {"utterance_id": "c/b", "status": "ok", "reason": "narrow_band: recorded at 8000 Hz, nothing above 4000 Hz"},
        {"utterance_id": "c/c", "status": "failed", "reason": "crashed: the worker process ended with signal SIGSEGV"},
        {"utterance_id": "c/d", "status": "absent", "reason": "silent: all 9 samples are 0"},
        {"utterance_id": "c/f", "status": "ok", "reason": "hole_filled: 3 s | narrow_band: recorded at 8000 Hz"},
        {"utterance_id": "c/e", "status": "failed", "reason": "upstream faces: truncated: x"},
    ]
    path = tmp_path / "audio/c/000.parquet"
    write_table(path, [{"key": "k", **row} for row in rows], schema.feature_table("audio"))
    collect_quarantine([path], tmp_path / "quarantine.parquet")
    found = read_table(tmp_path / "quarantine.parquet", schema.QUARANTINE).to_pylist()
    assert [(row["utterance_id"], row["status"], row["reason"].split(":")[0]) for row in found] == [
        ("c/b", "noted", "narrow_band"),
        ("c/c", "failed", "crashed"),
        ("c/d", "absent", "silent"),
        ("c/f", "noted", "hole_filled"),
        ("c/f", "noted", "narrow_band"),
    ]


def test_the_command_finds_the_shards_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: with 128 shards of a corpus and ten features, its arguments did not fit into a command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOADAPT_STUDY", "study.yaml")
    Path("study.yaml").write_text(
        "study: s\ncorpora: {c: {importer: folder, root: media, shards: 2}}\nfeatures: {also: [egemaps]}\n"
    )
    for feature, table in (
        ("audio", schema.feature_table("audio")),
        ("egemaps", schema.feature_table("egemaps")),
        ("transcript", schema.feature_table("transcript")),
    ):
        for shard in (0, 1):
            row = {"utterance_id": f"c/{shard}", "key": "k", "status": "failed", "reason": f"{feature}: {shard}"}
            write_table(Path(f"results/features/{feature}/c/{shard:03d}.parquet"), [row], table)
    done = CliRunner().invoke(app, ["collect-quarantine", "--output", "out.parquet"])
    assert done.exit_code == 0, done.output
    found = read_table(Path("out.parquet"), schema.QUARANTINE).to_pylist()
    assert [row["reason"] for row in found] == ["audio: 0", "audio: 1", "egemaps: 0", "egemaps: 1"], "those in use"
