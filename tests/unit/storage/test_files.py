"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from emoadapt.storage import caches
from emoadapt.storage.files import Overtaken, force_to_disk, replacing


def write(path: Path, text: str) -> str:
    """Name of the file beside `path` that was written first."""
    with replacing(path) as part:
        part.write_text(text)
    return part.name


def test_a_file_is_the_old_one_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/a.txt"
    write(path, "old")
    with pytest.raises(KeyError), replacing(path) as part:
        part.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def test_equal_process_numbers_on_two_machines_share_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    assert write(tmp_path / "a.txt", "one") != write(tmp_path / "a.txt", "two")


@pytest.mark.parametrize("lasting", [True, False])
def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    """Symptom: a power failure left an empty file in place of the old one."""
    path = tmp_path / "a.txt"
    write(path, "old")
    synced: list[tuple[int, str]] = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((os.fstat(number).st_ino, path.read_text())))
    with replacing(path, lasting=lasting) as part:
        part.write_text("new")
        inode = part.stat().st_ino
    assert synced == ([(inode, "old")] if lasting else []) and path.read_text() == "new"


def test_files_of_killed_processes_are_removed_by_the_next_write(tmp_path: Path) -> None:
    """Symptom: after each `kill -9` a hidden file, as large as its shard, stayed for ever."""
    for name in (".a.txt.4711.part", ".a.txt.ab12.part", ".aa.txt.4711.part", ".a.4711.part"):
        (tmp_path / name).touch()
    write(tmp_path / "a.txt", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.4711.part", ".aa.txt.4711.part", "a.txt"]


def test_an_overtaken_writer_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(Overtaken, match=r"a\.txt is also being written by another job; .*"), replacing(path) as part:
        part.write_text("one")
        write(path, "two")
    assert path.read_text() == "two" and list(tmp_path.iterdir()) == [path]


def test_a_cache_that_another_process_writes_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtake(content: bytes) -> bytes:
        (part,) = tmp_path.iterdir()
        part.unlink()
        return content

    monkeypatch.setattr(caches, "_open", overtake)
    caches.write_cache(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_files_of_a_folder_have_the_usual_permissions(tmp_path: Path, mask: int, mode: int) -> None:
    """Symptom: nobody else of the group could read `model.safetensors` of a shared folder."""
    before = os.umask(mask)
    try:
        save_file({"weights": np.zeros(3)}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}")
        assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o600, "or this test shows nothing"
        force_to_disk(tmp_path)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
