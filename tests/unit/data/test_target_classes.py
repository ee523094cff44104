"""Clips of a corpus by the class of a target."""

from pathlib import Path
from typing import Any

import pytest

from emoadapt import schema
from emoadapt.data.target_classes import group_by_class
from emoadapt.errors import ConfigError, DataError
from emoadapt.storage.tables import write_table


def write_feature(folder: Path, feature: str, rows: dict[str, dict[str, Any] | None]) -> list[Path]:
    """A clip whose values are None has none."""
    table = [
        {"utterance_id": f"c/{name}", "key": "k", "status": "ok" if values else "absent", **(values or {})}
        for name, values in rows.items()
    ]
    write_table(folder / f"{feature}.parquet", table, schema.feature_table(feature))
    return [folder / f"{feature}.parquet"]


def write_normalisers(folder: Path, objective: str, corpus: str, mean: list[float]) -> Path:
    rows = [{"objective": objective, "corpus": corpus, "mean": mean, "std": [0.5] * len(mean), "n": 3}]
    write_table(folder / "normalisers.parquet", rows, schema.NORMALISERS)
    return folder / "normalisers.parquet"


def test_levels_are_above_or_not_above_the_threshold_of_each_task(tmp_path: Path) -> None:
    values = {"b": (3.0, 1.0), "a": (2.0, 5.0), "c": (1.0, 4.0)}
    rows: dict[str, dict[str, Any] | None] = {
        name: {"landmark_motion": [*pair], "landmark_motion_whole": [0.0]} for name, pair in values.items()
    }
    shards = write_feature(tmp_path, "landmark_motion", rows | {"d": None})
    normalisers = write_normalisers(tmp_path, "landmark_motion", "*", [2.0, 2.0])
    assert group_by_class("landmark_motion", "c", shards, normalisers) == {
        "motion of the upper face: not above": ["c/a", "c/c"],
        "motion of the upper face: above": ["c/b"],
        "motion of the lower face: not above": ["c/b"],
        "motion of the lower face: above": ["c/a", "c/c"],
    }


def test_a_corpus_has_its_own_threshold_where_there_is_one(tmp_path: Path) -> None:
    shards = write_feature(tmp_path, "rms", {"a": {"rms": [1.0]}, "b": {"rms": [3.0]}})
    normalisers = write_normalisers(tmp_path, "energy_level", "c", [2.0])
    found = group_by_class("energy_level", "c", shards, normalisers)
    assert found == {"RMS energy: not above": ["c/a"], "RMS energy: above": ["c/b"]}
    with pytest.raises(DataError, match="no threshold of energy_level for talks"):
        group_by_class("energy_level", "talks", shards, normalisers)


def test_classes_have_the_names_of_the_emotions(tmp_path: Path) -> None:
    base = {"action_units": [0.0], "units": [1], "emotion_label": "x"}
    shards = write_feature(
        tmp_path,
        "action_units",
        {"a": base | {"emotion": [0, 0, 0, 0, 1]}, "b": base | {"emotion": [1, 0, 0, 0, 0]}, "c": None},
    )
    found = group_by_class("action_units", "c", shards, tmp_path / "none.parquet")
    assert found == {"happiness": ["c/b"], "other": ["c/a"]}


def test_targets_that_are_no_classes_and_clips_without_targets_are_refused(tmp_path: Path) -> None:
    shards = write_feature(tmp_path, "egemaps", {"a": {"egemaps": [0.0] * 25}})
    normalisers = write_normalisers(tmp_path, "egemaps", "*", [0.0] * 25)
    with pytest.raises(ConfigError, match="targets of egemaps are no classes"):
        group_by_class("egemaps", "c", shards, normalisers)
    with pytest.raises(ConfigError, match="targets of wav2vec2 are no classes"):
        group_by_class("wav2vec2", "c", shards, normalisers)
    with pytest.raises(DataError, match="no clip of c has a target for energy_level"):
        group_by_class("energy_level", "c", write_feature(tmp_path, "rms", {"a": None}), normalisers)
