"""What a results folder holds."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from emoadapt.errors import DataError
from emoadapt.storage.disk import LEAST_BYTES, explain_full_disk, measure_disk


@pytest.fixture
def results(tmp_path: Path) -> Path:
    shard = tmp_path / "features/audio/talks/000.parquet"
    (shard.parent / ".rows").mkdir(parents=True)
    shard.write_bytes(b"x" * 1000)
    os.link(shard, shard.parent / ".rows/000.parquet")
    (tmp_path / "runs/task/model").mkdir(parents=True)
    (tmp_path / "runs/task/model/predictions.parquet").write_bytes(b"x" * 300)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/results.csv").write_bytes(b"x" * 10)
    return tmp_path


def test_sizes_by_stage_with_hard_links_once(results: Path) -> None:
    found = [(holding.name, holding.files, holding.size) for holding in measure_disk(results)]
    assert found == [("features/audio", 2, 1000), ("runs/task", 1, 300), ("tables", 1, 10)]


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--results"):
        measure_disk(tmp_path / "nothing")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: the sentence went to a log on the same full disk, and the terminal said only that a job had failed."""
    other = tmp_path / "other"
    other.mkdir()
    free = {tmp_path: LEAST_BYTES, other: LEAST_BYTES - 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    assert explain_full_disk(tmp_path, tmp_path / "not there") is None
    sentence = explain_full_disk(tmp_path, other)
    assert sentence is not None and sentence.startswith(f"there is no space left on the disk ({other})")
    assert list(other.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.EDQUOT, "the disk quota is used up"), (errno.EROFS, "the file system is read-only"), (errno.EACCES, None)],
)
def test_so_is_a_folder_that_nothing_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str | None
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = explain_full_disk(tmp_path)
    assert found == sentence or (found or "").startswith(f"{sentence} ({tmp_path})")
