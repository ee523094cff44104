"""Caches, which are never believed when they are not what was written."""

import json
import os
from pathlib import Path

import pytest

from emoadapt.storage.caches import make_no_folder, read_cache, write_cache


def test_round_trip_is_json_with_a_digest(tmp_path: Path) -> None:
    content = {"b": [1, None, "ü", "😀"], "a": 1.5}
    write_cache(path := tmp_path / "deep" / "a.json", content)
    assert read_cache(path) == content and json.loads(path.read_text())[1] == content


def test_a_command_that_only_looks_keeps_in_memory_what_has_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: `new-study` read every byte of a corpus twice."""
    monkeypatch.chdir(tmp_path)
    path = Path("results/a.json")
    with make_no_folder():
        write_cache(path, {"n": 1})
        assert read_cache(path) == {"n": 1} and not path.parent.exists()
        path.parent.mkdir()
        write_cache(path, {"n": 2})
        assert read_cache(path) == {"n": 2} and path.is_file()
        path.unlink()
    assert read_cache(path) is None


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"{}", b"[]", bytes(500), b'["","x"]', b"\xff\xfe"])
def test_garbage_is_as_good_as_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert read_cache(tmp_path / "a.json") is None


def test_a_folder_in_its_place_is_as_good_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    assert read_cache(tmp_path / "a.json") is None
    write_cache(tmp_path / "a.json", {})


def test_every_flipped_bit_and_every_length_is_noticed(tmp_path: Path) -> None:
    write_cache(path := tmp_path / "a.json", {"clip.wav": "12 34 56 fingerprint", "n": 10})
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :])
            assert read_cache(path) is None
        path.write_bytes(whole[:position])
        assert read_cache(path) is None
    path.write_bytes(whole + b" ")
    assert read_cache(path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_done_without(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    write_cache(tmp_path / "a.json", {})
    assert read_cache(tmp_path / "a.json") is None
