"""What a results folder holds."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from emoadapt.errors import DataError
from emoadapt.flow.disk import measure_disk
from emoadapt.flow.store import drop_content, write_table


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


def test_dropped_shards_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        shard = tmp_path / f"training/face/talks/00{number}.parquet"
        write_table(
            shard, [{"utterance_id": "a", "audio": b"x"}], pa.schema([("utterance_id", "string"), ("audio", "binary")])
        )
        if number:
            drop_content(shard, "digest")
    (tmp_path / "training/face/talks/003.parquet").write_bytes(b"being written")
    (holding,) = measure_disk(tmp_path)
    assert (holding.droppable, holding.dropped) == (True, 2)


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--results"):
        measure_disk(tmp_path / "nothing")
