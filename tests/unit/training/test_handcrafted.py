"""The handcrafted baseline on vectors that separate the classes."""

import numpy as np
import polars as pl
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.flow.store import read_table, write_table
from emoadapt.training.handcrafted import train_handcrafted


def run(work, runs, name: str = "run"):
    folder = work.folder
    paths = {key: folder / f"{name}.{key}.parquet" for key in ("predictions", "embeddings", "curves")}
    tables = {"splits": folder / "splits.parquet", "subsets": folder / "subsets.parquet"}
    train_handcrafted(
        work.study, "emotion", "full", runs, {"acted": [folder / "egemaps.parquet"]}, **tables, **paths, threads=1
    )
    return {key: pl.from_arrow(read_table(path, getattr(schema, key.upper()))) for key, path in paths.items()}


def test_beats_chance_and_repeats(work) -> None:
    work.write_labelled()
    runs = [(0, 0, 0), (0, 1, 3)]
    tables = run(work, runs)
    found = tables["predictions"]
    assert len(found) == 2 * (12 + 6)
    assert f1_score(found["label"], found["predicted"], average="macro") > 0.9
    assert found.select("backbone", "start").unique().rows() == [("handcrafted", "egemaps")]
    assert tables["embeddings"].is_empty()
    assert run(work, runs)["predictions"].equals(found)


def test_it_needs_no_gpu_whatever_the_study_says(work) -> None:
    """Its job asks for none."""
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"]
    work.values["device"] = "cuda"
    work.values["finetuning"] |= {"precision": "16-mixed"}
    assert run(work, [(0, 0, 0)])["predictions"].equals(before)


def test_scaling_a_descriptor_does_not_matter(work) -> None:
    """z-scores come from the training clips: units of the vector cancel."""
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"]
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    for row in rows:
        row["egemaps"] = [8 * value for value in row["egemaps"]]
    write_table(work.folder / "egemaps.parquet", rows, schema.EGEMAPS)
    after = run(work, [(0, 0, 0)])["predictions"]
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-4)


def test_test_clips_do_not_move_the_z_scores(work) -> None:
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"].filter(test_corpus="acted")
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    for row in rows:
        if row["utterance_id"].startswith("other/"):
            row["egemaps"] = [1e4] * 25
    write_table(work.folder / "egemaps.parquet", rows, schema.EGEMAPS)
    after = run(work, [(0, 0, 0)])["predictions"].filter(test_corpus="acted")
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-5)
