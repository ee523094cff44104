"""Whose statistics a vector is z-scored with."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.data.vectors import normalise_vectors, read_layers, read_vectors
from emoadapt.errors import DataError
from emoadapt.storage.tables import write_table

ROWS = [
    ("home/a", "home", "s1", 1.0),
    ("home/b", "home", "s1", 3.0),
    ("home/c", "home", "s2", 11.0),
    ("away/a", "away", "t1", 100.0),
    ("away/b", "away", "t2", 104.0),
    ("away/c", "away", None, 108.0),
]
SPLITS = pl.DataFrame([row[:3] for row in ROWS], ["utterance_id", "corpus", "speaker"], orient="row")
VECTORS = {name: np.array([value, 7.0], dtype=np.float32) for name, _, _, value in ROWS}
TRAIN = ["home/a", "home/b"]


def first(scope: str) -> dict[str, float]:
    found = normalise_vectors(VECTORS, SPLITS, TRAIN, scope)  # type: ignore[arg-type]
    assert all(vector[1] == 0 for vector in found.values()), "a descriptor that does not vary says nothing"
    return {name: round(float(vector[0]), 4) for name, vector in found.items()}


def test_the_source_decides_for_all() -> None:
    # Mean 2 and deviation 1 of the training clips.
    assert first("train") == {n: value - 2 for n, _, _, value in ROWS}


def test_each_corpus_has_its_own_and_training_clips_stand_for_the_source() -> None:
    spread = round(float(4 / np.std([100, 104, 108])), 4)
    expected = {"home/a": -1.0, "home/b": 1.0, "home/c": 9.0, "away/a": -spread, "away/b": 0.0, "away/c": spread}
    assert first("corpus") == expected


def test_each_speaker_has_their_own_and_the_unknown_that_of_the_corpus() -> None:
    spread = round(float(4 / np.std([100, 104, 108])), 4)
    # The only clip of a speaker would not vary; it has the statistics of its corpus.
    lone = round(float((11 - np.mean([1, 3, 11])) / np.std([1, 3, 11])), 4)
    expected = {"home/a": -1.0, "home/b": 1.0, "home/c": lone, "away/a": -spread, "away/b": 0.0, "away/c": spread}
    assert first("speaker") == expected


def test_a_clip_without_a_vector_is_passed_over() -> None:
    some = {name: vector for name, vector in VECTORS.items() if name != "away/b"}
    assert set(normalise_vectors(some, SPLITS, TRAIN, "corpus")) == set(some)


def test_only_wanted_and_usable_rows_are_read(tmp_path: Path) -> None:
    rows = [
        {
            "utterance_id": f"c/{index}",
            "key": "k",
            "status": "failed" if index == 2 else "ok",
            "reason": "silent" if index == 2 else None,
            "egemaps": None if index == 2 else [float(index)] * 25,
        }
        for index in range(4)
    ]
    write_table(tmp_path / "000.parquet", rows, schema.feature_table("egemaps"))
    found = read_vectors({"c": [tmp_path / "000.parquet"]}, "egemaps", ["c/1", "c/2", "c/3"])
    assert {name: vector.tolist() for name, vector in found.items()} == {
        "c/1": [1.0] * 25,
        "c/3": [3.0] * 25,
    }
    assert found["c/1"].dtype == np.float32


@pytest.mark.parametrize("scope", ["train", "corpus"])
def test_test_clips_of_the_source_do_not_move_it(scope: str) -> None:
    other = VECTORS | {"home/c": np.array([1e6, 7.0], dtype=np.float32)}
    before, after = (normalise_vectors(v, SPLITS, TRAIN, scope) for v in (VECTORS, other))  # type: ignore[arg-type]
    assert np.array_equal(before["home/a"], after["home/a"])


def test_layers_are_read_with_their_shape_and_without_clips_that_have_none(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(3, 2)
    good = {"layers": values.tobytes(), "n_frames": 3, "dimension": 2}
    rows = [
        {"utterance_id": "c/1", "key": "k", "status": "ok"} | good,
        {"utterance_id": "c/2", "key": "k", "status": "failed", "reason": "layers_not_finite"},
        {"utterance_id": "c/3", "key": "k", "status": "ok"} | good,
    ]
    write_table(tmp_path / "000.parquet", rows, schema.LAYERS)
    found = read_layers({"c": [tmp_path / "000.parquet"]}, ["c/1", "c/2"])
    assert list(found) == ["c/1"]
    assert found["c/1"].dtype == np.float32 and np.array_equal(found["c/1"], values)


def test_every_layer_is_scored_with_statistics_of_its_own() -> None:
    stacks = {name: np.stack([vector, 10 * vector + 5]) for name, vector in VECTORS.items()}
    single = normalise_vectors(VECTORS, SPLITS, TRAIN, "speaker")
    for name, stack in normalise_vectors(stacks, SPLITS, TRAIN, "speaker").items():
        np.testing.assert_allclose(stack, np.stack([single[name]] * 2), rtol=1e-5)


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], "vectors of 2 values and of 4 (c/2 is one)"),
        ([[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]], "vectors of 1 values and of 2, 3 (c/1 is one)"),
        ([[1.0, 2.0], [float("nan"), 2.0], [1.0, 2.0]], "no finite numbers (c/1 is one of 1 clips)"),
        ([[1.0, 2.0], [1.0, float("inf")], [1.0, float("nan")]], "no finite numbers (c/1 is one of 2 clips)"),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_vectors_that_no_statistic_can_be_of_are_refused(
    tmp_path: Path, vectors: list[list[float]], sentence: str, shards: int
) -> None:
    """Six values in three rows were three vectors of two, whatever the rows held."""
    rows = [
        {"utterance_id": f"c/{number}", "key": "k", "status": "ok", "face_embedding": vector, "n_frames": 1}
        for number, vector in enumerate(vectors)
    ]
    paths = [tmp_path / f"{shard:03d}.parquet" for shard in range(shards)]
    for shard, path in enumerate(paths):
        write_table(path, rows[shard::shards], schema.feature_table("face_embedding"))
    with pytest.raises(DataError, match=re.escape(sentence)):
        read_vectors({"c": paths}, "face_embedding", [row["utterance_id"] for row in rows])


@pytest.mark.parametrize("value", [0.1, 1e-9, 1e9, -3.3, 0.0])
@pytest.mark.parametrize("scope", ["train", "corpus", "speaker"])
@pytest.mark.parametrize("copies", [3, 10, 999])
def test_equal_values_do_not_vary_by_rounding(value: float, scope: str, copies: int) -> None:
    """0.1 ten times had a deviation of 1e-17, so that 0.2 in a test clip became 7e15."""
    train = [f"home/{number}" for number in range(copies)]
    others = [("home/test", "home", "s2"), ("home/test2", "home", "s2"), ("away/test", "away", "t1")]
    rows = [(name, "home", "s1") for name in train] + others
    splits = pl.DataFrame(rows, ["utterance_id", "corpus", "speaker"], orient="row")
    vectors = {name: np.array([value], dtype=np.float32) for name in train}
    vectors |= {name: np.array([value + 0.1], dtype=np.float32) for name, *_ in others}
    found = normalise_vectors(vectors, splits, train, scope)  # type: ignore[arg-type]
    assert all(abs(found[name][0]) < 1e-6 * max(abs(value), 1) for name in train)
    assert all(abs(found[name][0]) < 1 for name in ("home/test", "away/test"))


@pytest.mark.parametrize("kind", ["egemaps", "layers"])
def test_a_wanted_clip_without_a_row_is_refused(tmp_path: Path, kind: str) -> None:
    columns = schema.LAYERS if kind == "layers" else schema.feature_table(kind)
    row = {"utterance_id": "c/a", "key": "k", "status": "failed", "reason": "silent: x"}
    write_table(tmp_path / "0.parquet", [row], columns)
    shards = {"c": [tmp_path / "0.parquet"]}
    read = (
        (lambda names: read_layers(shards, names))
        if kind == "layers"
        else (lambda names: read_vectors(shards, kind, names))
    )
    assert read(["c/a"]) == {}
    with pytest.raises(DataError, match="1 of 2 clips have no row, such as c/x"):
        read(["c/a", "c/x", "c/x"])


def test_vectors_may_stay_as_they_are() -> None:
    assert {name: vector.tolist() for name, vector in normalise_vectors(VECTORS, SPLITS, TRAIN, "none", TRAIN).items()} == {
        "home/a": [1.0, 7.0], "home/b": [3.0, 7.0],
    }  # fmt: skip
    assert set(normalise_vectors(VECTORS, SPLITS, TRAIN, "none")) == set(VECTORS)


@pytest.mark.parametrize(("feature", "kind"), [("egemaps_frames", "<f4"), ("pase_frames", "<f2")])
def test_the_vector_of_frames_is_their_mean(feature: str, kind: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(size=(7, 3)).astype(kind)
    row = {
        "utterance_id": "c/a",
        "key": "k",
        "status": "ok",
        feature: frames.tobytes(),
        "n_frames": 7,
        "dimension": 3,
        "step": 0.02,
    }
    failed = {"utterance_id": "c/b", "key": "k", "status": "failed", "reason": "too_short: x"}
    write_table(tmp_path / "f.parquet", [row, failed], schema.feature_table(feature))
    (found,) = read_vectors({"c": [tmp_path / "f.parquet"]}, feature, ["c/a", "c/b"]).items()
    assert found[0] == "c/a" and found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], frames.astype(np.float64).mean(axis=0), rtol=1e-6)
