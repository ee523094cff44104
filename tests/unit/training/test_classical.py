"""The classical baseline against scikit-learn's own pipeline."""

import numpy as np
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.errors import TrainingError
from emoadapt.flow.store import read_table
from emoadapt.training.classical import train_classical


def run(work, subset: str = "full", **settings) -> pl.DataFrame:
    folder = work.folder
    work.values["finetuning"] = {**work.values.get("finetuning", {}), "classical": {"features": "egemaps", **settings}}
    paths = {key: folder / f"classical.{key}.parquet" for key in ("predictions", "embeddings", "curves")}
    tables = {"splits": folder / "splits.parquet", "subsets": folder / "subsets.parquet"}
    shards = {"acted": [folder / "egemaps.parquet"]}
    train_classical(load_study(work.values), "emotion", subset, [(0, 0, 0), (0, 1, 0)], shards, **tables, **paths)
    for key in ("embeddings", "curves"):
        assert read_table(paths[key], getattr(schema, key.upper())).num_rows == 0
    return pl.from_arrow(read_table(paths["predictions"], schema.PREDICTIONS))  # type: ignore[return-value]


@pytest.mark.parametrize("dev", [False, True])
def test_predicts_what_the_library_predicts(work, dev: bool) -> None:
    work.write_labelled()
    found = run(work, train_on_dev=dev)
    splits = pl.from_arrow(read_table(work.folder / "splits.parquet"))
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    vectors = {row["utterance_id"]: np.array(row["egemaps"]) for row in rows}
    parts = ("train", "dev") if dev else ("train",)
    for fold in (0, 1):
        part = splits.filter(pl.col("split").is_in(parts), fold=fold)
        machine = make_pipeline(StandardScaler(), SVC(gamma="auto"))
        machine.fit(np.stack([vectors[name] for name in part["utterance_id"]]), part["label"].to_list())
        ours = found.filter(fold=fold)
        theirs = machine.predict(np.stack([vectors[name] for name in ours["utterance_id"]]))
        assert ours["predicted"].to_list() == theirs.tolist()
    assert found.select("backbone", "start").unique().rows() == [("handcrafted", "classical")]


def test_dev_clips_stay_out_of_a_subset(work) -> None:
    """An exact number of training clips is what a subset promises."""
    work.write_labelled()
    assert (
        run(work, subset="8", train_on_dev=True)
        .select("utterance_id", "logits")
        .equals(run(work, subset="8").select("utterance_id", "logits"))
    )


def test_a_study_without_one_says_so(work) -> None:
    work.write_labelled()
    with pytest.raises(TrainingError, match=r"no classical baseline; set finetuning\.classical"):
        train_classical(work.study, "emotion", "full", [], {}, *[work.folder / "x"] * 5)
