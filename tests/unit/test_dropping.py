"""Shards that were dropped get their old time back, if they come back as they were."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emoadapt.dropping import FOLDER, Dropped, drop_stages, find_stage, forget_if_changed, list_away, restore, settle
from emoadapt.errors import DataError
from emoadapt.flow.lock import keep_out_others

LONG_AGO = 1_000_000_000_000_000_000


def write_shard(results: Path, stage: str, values: list[int], rows_per_group: int = 2, time: int | None = None) -> Path:
    shard = results / stage / "talks/000.parquet"
    shard.parent.mkdir(parents=True, exist_ok=True)
    names = [f"talks/{i}" for i in range(len(values))]
    content = [bytes([value]) * 10 for value in values]
    pq.write_table(
        pa.table({"utterance_id": names, "content": content, "n": values}), shard, row_group_size=rows_per_group
    )
    if time is not None:
        os.utime(shard, ns=(time, time))
    return shard


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("results")


def test_shards_come_back_with_their_time(results: Path) -> None:
    """Rows may be grouped otherwise: how many are written at once depends on how long they took."""
    shard = write_shard(results, "features/faces", [1, 2, 3], time=LONG_AGO)
    (shard.parent / ".rows").mkdir()
    os.link(shard, shard.parent / ".rows/000.parquet")
    size = shard.stat().st_size
    assert drop_stages(results, ["features/faces"]) == [Dropped("features/faces", 1, size)]
    assert not (results / "features/faces").exists()
    settle(results)
    assert list_away(results) == [shard]
    write_shard(results, "features/faces", [1, 2, 3], rows_per_group=3)
    forget_if_changed(shard)
    assert shard.stat().st_mtime_ns != LONG_AGO
    settle(results)
    assert shard.stat().st_mtime_ns == LONG_AGO
    assert not (results / FOLDER).exists()


@pytest.mark.parametrize("values", [[1, 2, 4], [1, 2], [1, 2, 3, 3]])
def test_shards_that_hold_something_else_are_new_ones(results: Path, values: list[int]) -> None:
    shard = write_shard(results, "features/faces", [1, 2, 3], time=LONG_AGO)
    drop_stages(results, ["features/faces"])
    write_shard(results, "features/faces", values)
    forget_if_changed(shard)
    # Even if they hold the same again after that: somebody may have been trained on what was there between.
    write_shard(results, "features/faces", [1, 2, 3])
    forget_if_changed(shard)
    now = shard.stat().st_mtime_ns
    settle(results)
    assert shard.stat().st_mtime_ns == now


def test_dropping_twice_keeps_the_first_time(results: Path) -> None:
    shard = write_shard(results, "features/cnn.small", [1, 2], time=LONG_AGO)
    drop_stages(results, ["features/cnn.small"])
    write_shard(results, "features/cnn.small", [1, 2])
    forget_if_changed(shard)
    drop_stages(results, ["features/cnn.small"])
    write_shard(results, "features/cnn.small", [1, 2])
    settle(results)
    assert shard.stat().st_mtime_ns == LONG_AGO


@pytest.mark.parametrize(
    "stage", ["models/small.adapted", "features", "features/../models", "features/faces/talks", "features/no"]
)
def test_other_folders_stay(results: Path, stage: str) -> None:
    write_shard(results, "features/faces", [1])
    write_shard(results, "models/small.adapted", [1])
    with pytest.raises(DataError, match=r"cannot be dropped; of results there can go: features/faces$"):
        drop_stages(results, ["features/faces", stage])
    assert len(list(results.rglob("*.parquet"))) == 2


def test_not_while_snakemake_is_at_work(results: Path, tmp_path: Path) -> None:
    write_shard(results, "features/faces", [1])
    with keep_out_others(tmp_path), pytest.raises(DataError, match="Snakemake is at work in"):
        drop_stages(results, ["features/faces"])
    assert (results / "features/faces").is_dir()


def test_outputs_elsewhere_are_nobodys(tmp_path: Path) -> None:
    forget_if_changed(Path("shard.parquet"))
    forget_if_changed(write_shard(tmp_path, "features/faces", [1]))


def test_stages_come_back_after_those_they_are_made_from(results: Path) -> None:
    """CNN output last: a Stage-1 model may be behind it, which is behind training shards."""
    stages = ["features/audio", "features/faces", "features/egemaps", "features/face_embedding", "features/transcript"]
    stages += ["features/sentiment", "training/egemaps+face", "features/cnn.base", "features/cnn.base.adapted"]
    for stage in reversed(stages):
        write_shard(results, stage, [1])
    drop_stages(results, list(reversed(stages)))
    found = [find_stage(shard) for shard in list_away(results)]
    assert sorted(found) == sorted(stages)
    for later, earlier in [
        ("egemaps", "audio"),
        ("face_embedding", "faces"),
        ("sentiment", "transcript"),
        ("transcript", "audio"),
    ]:
        assert (
            found.index(f"features/{earlier}") < found.index(f"features/{later}") < found.index("training/egemaps+face")
        )
    assert found[-3:] == stages[-3:]


def test_nothing_to_restore_is_one_sentence(results: Path) -> None:
    with pytest.raises(DataError, match="nothing that was dropped is away in"):
        restore(["--cores", "1"])
