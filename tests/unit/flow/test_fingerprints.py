"""Content fingerprints of media files."""

import os
from pathlib import Path

import pytest

from emoadapt.flow import fingerprints
from emoadapt.flow.fingerprints import fingerprint_media, witness_files
from emoadapt.schema import UNREADABLE
from emoadapt.storage.caches import read_cache


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).write_text(f"content of {name}")
    return folder


def test_content_counts_and_touching_does_not(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    first = fingerprint_media(root, ["a.wav", "b.wav"], cache)
    os.utime(root / "a.wav", (1, 1))
    assert fingerprint_media(root, ["a.wav", "b.wav"], cache) == first
    (root / "a.wav").write_text("other")
    second = fingerprint_media(root, ["a.wav", "b.wav"], cache)
    assert second["a.wav"] != first["a.wav"] and second["b.wav"] == first["b.wav"]


def test_unchanged_files_are_not_read_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache.json"
    fingerprint_media(root, ["a.wav", "b.wav"], cache)
    read = []
    original = fingerprints.fingerprint_file
    monkeypatch.setattr(fingerprints, "fingerprint_file", lambda path: read.append(path.name) or original(path))
    (root / "b.wav").write_text("longer than it was before")
    fingerprint_media(root, ["a.wav", "b.wav"], cache)
    assert read == ["b.wav"]


def test_a_missing_file_has_a_fingerprint_of_its_own(root: Path, tmp_path: Path) -> None:
    assert fingerprint_media(root, ["gone.wav"], tmp_path / "cache.json") == {"gone.wav": UNREADABLE}


def test_a_damaged_cache_is_made_anew(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    first = fingerprint_media(root, ["a.wav"], cache)
    cache.write_text("{half of a fi")
    assert fingerprint_media(root, ["a.wav"], cache) == first
    assert read_cache(cache)["media"]["a.wav"].endswith(" " + first["a.wav"])


def test_files_renamed_into_each_other_are_noticed(root: Path, tmp_path: Path) -> None:
    """Symptom: same size, same modification time, swapped names: features of the one stood under the other."""
    cache = tmp_path / "cache.json"
    for name in ("a.wav", "b.wav"):
        os.utime(root / name, (1, 1))
    first = fingerprint_media(root, ["a.wav", "b.wav"], cache)
    (root / "a.wav").rename(root / "c.wav")
    (root / "b.wav").rename(root / "a.wav")
    (root / "c.wav").rename(root / "b.wav")
    second = fingerprint_media(root, ["a.wav", "b.wav"], cache)
    assert (second["a.wav"], second["b.wav"]) == (first["b.wav"], first["a.wav"])


def test_a_file_that_could_not_be_opened_is_tried_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: after one failed read a clip stayed in quarantine for ever."""
    cache = tmp_path / "cache.json"
    with monkeypatch.context() as context:
        context.setattr(fingerprints, "fingerprint_file", lambda path: UNREADABLE)
        assert fingerprint_media(root, ["a.wav"], cache) == {"a.wav": UNREADABLE}
    assert fingerprint_media(root, ["a.wav"], cache)["a.wav"] != UNREADABLE


def test_another_root_has_fingerprints_of_its_own(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    os.link(root / "b.wav", other / "a.wav")
    cache = tmp_path / "cache.json"
    first = fingerprint_media(root, ["a.wav", "b.wav"], cache)
    assert fingerprint_media(other, ["a.wav"], cache)["a.wav"] == first["b.wav"]


def test_a_witness_changes_with_every_file_that_does(root: Path) -> None:
    """Times before 1970 are negative."""
    names = ["a.wav", "b.wav"]
    os.utime(root / "a.wav", ns=(-1_500_000_000, -1_500_000_000))
    before = witness_files(root, names)
    assert before is not None and witness_files(root, names) == before
    os.utime(root / "a.wav", ns=(-1_500_000_000, -1_500_000_001))
    assert witness_files(root, names) not in (None, before)
    assert witness_files(root, [*names, "gone.wav"]) is None
