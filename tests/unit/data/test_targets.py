"""Training shards."""

from pathlib import Path

import numpy as np
import pytest

from emoadapt import schema
from emoadapt.data.targets import build_training_shard, pack_training_shard
from emoadapt.errors import DataError
from emoadapt.storage.quarantine import collect_quarantine
from emoadapt.storage.tables import read_table, write_table


def write_features(root: Path, failed: set[int] = frozenset(), count: int = 4) -> tuple[Path, Path]:
    audio, egemaps = root / "audio/c/000.parquet", root / "egemaps/c/000.parquet"
    rows, more = [], []
    for i in range(count):
        head = {"utterance_id": f"c/{i:03d}", "key": "k", "status": "ok"}
        if i in failed:
            head |= {"status": "failed", "reason": "undecodable: x"}
            rows.append(head)
            more.append({**head, "reason": "upstream audio: undecodable: x"})
        else:
            rows.append({**head, "audio": np.full(4, i, "<i2").tobytes(), "n_samples": 4})
            more.append({**head, "egemaps": np.arange(25, dtype=np.float32) + i})
    write_table(audio, rows, schema.feature_table("audio"))
    write_table(egemaps, more, schema.feature_table("egemaps"))
    return audio, egemaps


def test_a_training_shard_holds_raw_targets_and_masks(tmp_path: Path) -> None:
    audio, egemaps = write_features(tmp_path, failed={1})
    build_training_shard(
        audio, {"egemaps": ("egemaps", egemaps), "face": ("face_embedding", None)}, tmp_path / "t.parquet"
    )
    rows = read_table(tmp_path / "t.parquet", schema.training(("egemaps", "face"))).to_pylist()
    assert [row["utterance_id"] for row in rows] == ["c/000", "c/002", "c/003"]
    assert rows[1]["target_egemaps"] == [i + 2.0 for i in range(25)]
    assert [row["mask_egemaps"] for row in rows] == [True] * 3
    assert [(row["mask_face"], row["target_face"]) for row in rows] == [(False, None)] * 3


def test_clips_of_every_row_group_are_packed(tmp_path: Path) -> None:
    audio, egemaps = write_features(tmp_path, failed={40}, count=70)
    pack_training_shard([audio, egemaps], ["egemaps"], tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet", schema.training(("egemaps",))).to_pylist()
    assert [row["utterance_id"] for row in rows] == [f"c/{i:03d}" for i in range(70) if i != 40]
    assert [row["target_egemaps"][0] for row in rows] == [float(i) for i in range(70) if i != 40]


def test_a_shard_without_clips_is_an_empty_table(tmp_path: Path) -> None:
    audio, egemaps = write_features(tmp_path, count=0)
    pack_training_shard([audio, egemaps], ["egemaps", "sentiment"], tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", schema.training(("egemaps", "sentiment"))).num_rows == 0


def test_a_problem_is_listed_where_it_arose(tmp_path: Path) -> None:
    collect_quarantine(write_features(tmp_path, failed={2}), tmp_path / "q.parquet")
    rows = read_table(tmp_path / "q.parquet", schema.QUARANTINE).to_pylist()
    assert [(row["corpus"], row["feature"], row["utterance_id"]) for row in rows] == [("c", "audio", "c/002")]


def test_a_feature_that_lacks_a_clip_is_refused(tmp_path: Path) -> None:
    """Symptom: its target was masked, as if the clip had none."""
    audio, egemaps = write_features(tmp_path)
    rows = read_table(egemaps).to_pylist()
    write_table(egemaps, rows[:-1], schema.feature_table("egemaps"))
    with pytest.raises(DataError, match=rf"egemaps.* has {len(rows) - 1} clips, and .*audio.* has {len(rows)}"):
        build_training_shard(audio, {"egemaps": ("egemaps", egemaps)}, tmp_path / "out.parquet")
