"""Files that are replaced between listing and reading, or while they are read."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.extraction import shards, witness
from emoadapt.extraction.shards import extract_shard
from emoadapt.extraction.witness import Witness
from emoadapt.extraction.workers import WorkerPool
from emoadapt.features.base import Context
from emoadapt.flow.fingerprints import fingerprint_file
from emoadapt.flow.rows import Counts
from emoadapt.schema import UNREADABLE
from emoadapt.storage.claims import Claim, state_claim
from emoadapt.storage.identities import read_claim
from emoadapt.storage.tables import read_table, write_table

ORIGIN = Claim("a" * 32, "b" * 32)


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOADAPT_CLAIM", "")
    state_claim(ORIGIN)


def write_tone(path: Path, pitch: float) -> None:
    time = np.arange(16_000) / 16_000
    soundfile.write(path, (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), 16_000)


def list_clips(folder: Path) -> Path:
    """Three files and their manifest."""
    rows = []
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        write_tone(folder / name, 200 + 100 * number)
        rows.append({"utterance_id": f"c/{name}", "media": name, "fingerprint": fingerprint_file(folder / name)})
    write_table(folder / "manifest.parquet", rows, schema.MANIFEST)
    return folder / "manifest.parquet"


def extract(folder: Path) -> tuple[Counts, dict[str, dict[str, Any]]]:
    """Counts and rows of the audio of these clips."""
    corpora = {"c": {"importer": "folder", "root": str(folder)}}
    study = load_study({"study": "test", "device": "cpu", "corpora": corpora})
    state_claim(ORIGIN)
    output = folder / "audio/000.parquet"
    counts = extract_shard(study, "audio", "c", [folder / "manifest.parquet"], output, threads=1)
    return counts, {row["utterance_id"]: row for row in read_table(output, schema.feature_table("audio")).to_pylist()}


@pytest.mark.usefixtures("claimed")
def test_a_file_replaced_after_listing_is_set_aside_until_it_is_listed_again(tmp_path: Path) -> None:
    """Symptom: the sound of another file was kept under the key of the first, and came back with the first file."""
    list_clips(tmp_path)
    path = tmp_path / "b.wav"
    first = path.read_bytes()
    status = path.stat()
    write_tone(path, 1000)
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    counts, rows = extract(tmp_path)
    assert counts == Counts(3, 0, 0)
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "ok"]
    assert rows["c/b.wav"]["audio"] is None
    assert rows["c/b.wav"]["reason"].startswith("changed: the file is another, or gone, since its corpus was listed")
    assert read_claim(tmp_path / "audio/000.parquet") is None, "so that the next run makes the shard again"
    path.write_bytes(first)
    counts, rows = extract(tmp_path)
    assert counts == Counts(1, 2, 0)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["c/b.wav"]["audio"] == soundfile.read(path, dtype="int16")[0].tobytes()
    assert read_claim(tmp_path / "audio/000.parquet") == ORIGIN


def test_a_file_listed_again_is_computed_under_its_new_key(tmp_path: Path) -> None:
    manifest = list_clips(tmp_path)
    write_tone(tmp_path / "b.wav", 1000)
    _, before = extract(tmp_path)
    rows = read_table(manifest, schema.MANIFEST).to_pylist()
    rows[1]["fingerprint"] = fingerprint_file(tmp_path / "b.wav")
    write_table(manifest, rows, schema.MANIFEST)
    counts, after = extract(tmp_path)
    assert counts == Counts(1, 2, 0) and after["c/b.wav"]["status"] == "ok"
    assert after["c/b.wav"]["key"] != before["c/b.wav"]["key"]


def write_over(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def replace_by(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.replace(path)


class Reader:
    """Reads a file; something is done to some files while they are read."""

    def __init__(self, **done: Any) -> None:
        self.done = done

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for row in rows:
            results.append({"content": row["path"].read_bytes()})
            if do := self.done.get(row["path"].stem):
                do(row["path"])
        return results


def make_row(path: Path, content: bytes = b"first") -> dict[str, Any]:
    path.write_bytes(content)
    # A file system's clock may stand still for some milliseconds.
    os.utime(path, (1, 1))
    return {"path": path, "fingerprint": fingerprint_file(path)}


@pytest.mark.parametrize(
    "change",
    [
        partial(write_over, content=b"other"),
        partial(replace_by, content=b"other"),
        partial(replace_by, content=b"first"),
        Path.unlink,
    ],
)
@pytest.mark.parametrize("by_content", [True, False])
def test_a_file_that_changes_while_it_is_read_is_set_aside(tmp_path: Path, change: Any, by_content: bool) -> None:
    rows = [make_row(tmp_path / name) for name in ("a", "b", "c")]
    found = Witness(Reader(b=change), lambda: None, by_content=by_content).extract(rows)
    assert found[0] == found[2] == {"content": b"first"}
    assert found[1]["status"] == "failed"
    assert found[1]["reason"].startswith("changed: the file was edited or replaced while it was read")


def test_a_change_during_the_reading_reaches_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    fakes: ModuleType = importlib.import_module("fake_extractors")
    rows = [make_row(tmp_path / name) | {"utterance_id": name} for name in ("a", "b", "c")]
    rows[1]["replace"] = True
    with WorkerPool(fakes.Replacing, None, Context(Path("models")), 1, 300.0, Witness) as pool:
        results = [result for _, result in pool.run(iter([rows]))]
    assert results[0] == results[2] == {"value": b"first"}
    assert results[1]["status"] == "failed" and results[1]["reason"].startswith("changed: ")


def test_generated_files_are_compared_with_no_content(tmp_path: Path) -> None:
    """Their fingerprints are those of a plan, made before there are any files."""
    row = make_row(tmp_path / "a") | {"fingerprint": "of the plan"}
    assert Witness(Reader(), lambda: None, by_content=False).extract([row]) == [{"content": b"first"}]
    assert Witness(Reader(), lambda: None).extract([row])[0]["status"] == "failed"
    corpora = {
        "d": {"importer": "demo", "root": str(tmp_path / "d")},
        "c": {"importer": "folder", "root": str(tmp_path)},
    }
    study = load_study({"study": "test", "corpora": corpora})
    for corpus, by_content in (("d", False), ("c", True)):
        watch = shards._choose_watch(study, "audio", corpus)
        assert isinstance(watch, partial) and watch.keywords == {"by_content": by_content}
    assert shards._choose_watch(study, "egemaps", "c") is None


def test_a_file_that_could_not_be_read_when_listed_is_left_to_its_reader(tmp_path: Path) -> None:
    """It has a reason of its own; if it is there by now, it is listed again first."""
    row = {"path": tmp_path / "a", "fingerprint": UNREADABLE}
    assert Witness(Reader(), lambda: None)._fingerprint(row["path"], "") == UNREADABLE
    (tmp_path / "a").write_bytes(b"now")
    assert Witness(Reader(), lambda: None).extract([row])[0]["reason"].startswith("changed: ")


def test_segments_of_a_file_are_fingerprinted_once_and_with_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def count(path: Path, beat: Any) -> str:
        asked.append(path)
        return fingerprint_file(path, beat)

    monkeypatch.setattr(witness, "fingerprint_file", count)
    monkeypatch.setattr(witness, "_REMEMBERED", 2)
    beats: list[int] = []
    large, small = make_row(tmp_path / "large", bytes(5 << 20)), make_row(tmp_path / "small")
    seen = Witness(Reader(), lambda: beats.append(1))
    assert all("content" in result for result in seen.extract([large, small] * 4))
    assert asked == [large["path"], small["path"]]
    assert len(beats) == 5 + 1
    write_over(small["path"], b"other")
    assert seen.extract([small])[0]["status"] == "failed"
