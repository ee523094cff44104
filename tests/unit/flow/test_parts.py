"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emoadapt.flow.parts import replacing


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
