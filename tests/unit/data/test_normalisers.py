"""Normalisers of the targets."""

from pathlib import Path

import numpy as np
import pytest

from emoadapt import schema
from emoadapt.data.normalisers import fit_normalisers
from emoadapt.errors import DataError
from emoadapt.storage.tables import read_table, write_table


def write_corpus(root: Path, corpus: str, values: np.ndarray, parts: list[str]) -> tuple[Path, list[dict]]:
    path = root / f"egemaps/{corpus}/000.parquet"
    names = [f"{corpus}/{i:03d}" for i in range(len(values))]
    rows = [
        {"utterance_id": name, "key": "k", "status": "ok", "egemaps": value.astype(np.float32)}
        for name, value in zip(names, values, strict=True)
    ]
    rows.append({"utterance_id": f"{corpus}/bad", "key": "k", "status": "failed", "reason": "x: y"})
    write_table(path, rows, schema.feature_table("egemaps"))
    table = [{"utterance_id": n, "corpus": corpus, "part": p} for n, p in zip(names, parts, strict=True)]
    return path, [*table, {"utterance_id": f"{corpus}/bad", "corpus": corpus, "part": "train"}]


@pytest.fixture
def two_corpora(tmp_path: Path) -> dict:
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(5, 2, (30, 25)), "b": rng.normal(-3, 9, (20, 25))}
    values["a"][:, 7] = values["b"][:, 7] = 4.0
    parts = {"a": ["train"] * 20 + ["held_out"] * 10, "b": ["train"] * 20}
    shards, rows = {}, []
    for corpus in values:
        path, assigned = write_corpus(tmp_path, corpus, values[corpus], parts[corpus])
        shards[corpus] = [path]
        rows += assigned
    write_table(tmp_path / "parts.parquet", rows, schema.PARTS)
    return {"values": values, "shards": shards, "folder": tmp_path}


def fit(two_corpora: dict, scope: str) -> dict[str, dict]:
    folder = two_corpora["folder"]
    output = folder / "n.parquet"
    fit_normalisers({"egemaps": ("egemaps", two_corpora["shards"])}, folder / "parts.parquet", scope, output)
    return {row["corpus"]: row for row in read_table(output, schema.NORMALISERS).to_pylist()}


def test_only_the_training_part_counts_and_numpy_agrees(two_corpora: dict) -> None:
    found = fit(two_corpora, "corpus")
    train = two_corpora["values"]["a"][:20].astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found["a"]["mean"], train.mean(0), rtol=1e-9)
    np.testing.assert_allclose(np.delete(found["a"]["std"], 7), np.delete(train.std(0), 7), rtol=1e-9)
    assert found["a"]["n"] == 20 and set(found) == {"a", "b"}


def test_energy_is_centred_on_the_median_loudness_of_the_training_part(two_corpora: dict) -> None:
    folder, values = two_corpora["folder"], two_corpora["values"]
    values["a"][3, 0] = 500.0
    path, _ = write_corpus(folder, "a", values["a"], ["train"] * 30)
    targets = {"energy": ("egemaps", {"a": [path]})}
    fit_normalisers(targets, folder / "parts.parquet", "global", folder / "n.parquet")
    (row,) = read_table(folder / "n.parquet", schema.NORMALISERS).to_pylist()
    train = values["a"][:20, 0].astype(np.float32).astype(np.float64)
    assert row["mean"] == [np.median(train)]
    assert row["std"] == [pytest.approx(train.std())]


def test_a_global_normaliser_pools_corpora(two_corpora: dict) -> None:
    found = fit(two_corpora, "global")
    values = two_corpora["values"]
    pooled = np.concatenate([values["a"][:20], values["b"]]).astype(np.float32).astype(np.float64)
    assert set(found) == {"*"} and found["*"]["n"] == 40
    np.testing.assert_allclose(found["*"]["mean"], pooled.mean(0), rtol=1e-9)


def test_a_constant_target_is_not_divided_by_zero(two_corpora: dict) -> None:
    assert fit(two_corpora, "global")["*"]["std"][7] == 1.0


def test_objective_without_any_target_is_refused(two_corpora: dict) -> None:
    folder = two_corpora["folder"]
    rows = [row | {"part": "held_out"} for row in read_table(folder / "parts.parquet").to_pylist()]
    write_table(folder / "parts.parquet", rows, schema.PARTS)
    with pytest.raises(DataError, match="objective egemaps: no training clip"):
        fit(two_corpora, "global")


def test_thresholds_of_levels_are_means_of_the_training_part(tmp_path: Path) -> None:
    """Of two parts of the face each its own: means of 0, 2, 7 and of 3, 3, 6; the held-out clip does not count."""
    values, parts = [[0, 3], [2, 3], [7, 6], [900, 900]], ["train", "train", "train", "held_out"]
    names = [f"a/{number}" for number in range(4)]
    rows = [
        {"utterance_id": name, "key": "k", "status": "ok", "landmark_motion": value, "landmark_motion_whole": value[:1]}
        for name, value in zip(names, values, strict=True)
    ]
    write_table(tmp_path / "motion.parquet", rows, schema.feature_table("landmark_motion"))
    table = [{"utterance_id": name, "corpus": "a", "part": part} for name, part in zip(names, parts, strict=True)]
    write_table(tmp_path / "parts.parquet", table, schema.PARTS)
    shards = {"a": [tmp_path / "motion.parquet"]}
    targets = {name: (name, shards) for name in ("landmark_motion", "landmark_motion_whole")}
    fit_normalisers(targets, tmp_path / "parts.parquet", "global", tmp_path / "n.parquet")
    found = {
        row["objective"]: row["mean"] for row in read_table(tmp_path / "n.parquet", schema.NORMALISERS).to_pylist()
    }
    assert found == {"landmark_motion": [3, 4], "landmark_motion_whole": [3]}
