"""What a results folder holds, and what can go."""

import os
from pathlib import Path

import pytest

from emoadapt.errors import DataError
from emoadapt.flow.disk import drop, measure_disk


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
    found = [(holding.name, holding.files, holding.size, holding.droppable) for holding in measure_disk(results)]
    assert found == [("features/audio", 2, 1000, True), ("runs/task", 1, 300, False), ("tables", 1, 10, False)]


def test_a_dropped_stage_is_gone_with_its_rows(results: Path) -> None:
    assert drop(results, "features/audio").size == 1000
    assert not (results / "features/audio").exists()
    assert [path.name for path in results.iterdir() if path.name.startswith(".")] == []
    assert (results / "runs/task/model/predictions.parquet").exists()


@pytest.mark.parametrize("name", ["runs/task", "tables", "features", "features/../runs", "features/none"])
def test_what_cannot_be_computed_again_is_not_dropped(results: Path, name: str) -> None:
    with pytest.raises(DataError, match="not among what can go"):
        drop(results, name)


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--results"):
        measure_disk(tmp_path / "nothing")
