"""The classical baseline against scikit-learn's own pipeline."""

import os
import signal
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emoadapt import schema
from emoadapt.config import ClassicalBaseline, load_study
from emoadapt.errors import TrainingError
from emoadapt.flow.store import read_table
from emoadapt.training import classical
from emoadapt.training.checkpoints import Interrupted
from emoadapt.training.classical import train_classical
from emoadapt.training.runs import RunKey

RUNS = [(0, 0, 0), (0, 1, 0)]


def run(work, subset: str = "full", runs: Sequence[RunKey] = RUNS, **settings) -> pl.DataFrame:
    folder = work.folder
    work.values["finetuning"] = {**work.values.get("finetuning", {}), "classical": {"features": "egemaps", **settings}}
    paths = {key: folder / f"classical.{key}.parquet" for key in ("predictions", "embeddings", "curves")}
    tables = {"splits": folder / "splits.parquet", "subsets": folder / "subsets.parquet"}
    shards = {"acted": [folder / "egemaps.parquet"]}
    models = folder / "classical" / "models"
    train_classical(load_study(work.values), "emotion", subset, runs, shards, **tables, **paths, models=models)
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
        train_classical(work.study, "emotion", "full", [], {}, *[work.folder / "x"] * 6)


def test_a_job_that_is_asked_to_end_continues_with_the_next_run(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_labelled()
    run(work)
    table = work.folder / "classical.predictions.parquet"
    whole = table.read_bytes()
    table.unlink()
    predict, predicted = classical._predict, []

    def predict_and_tell(*args) -> np.ndarray:
        predicted.append(args[2])
        os.kill(os.getpid(), signal.SIGTERM)
        return predict(*args)

    monkeypatch.setattr(classical, "_predict", predict_and_tell)
    with pytest.raises(Interrupted, match=r"full\.r0f0s0: the job was ended by SIGTERM after this run; started again"):
        run(work)
    assert len(predicted) == 1 and not table.exists()
    run(work)
    assert len(predicted) == 2, "the first run was done"
    assert table.read_bytes() == whole
    assert not list((work.folder / "classical").glob(".*"))


def test_tied_votes_are_decided_by_the_largest_decision_value() -> None:
    """As docs/evaluation.md says; scikit-learn does so with `break_ties=True` only."""
    rng = np.random.default_rng(1)
    names = [f"c/{number}" for number in range(400)]
    labels = dict(zip(names, rng.integers(0, 5, 400).tolist(), strict=True))
    vectors = {name: rng.normal(size=3) + 0.3 * np.eye(5, 3)[label] for name, label in labels.items()}
    train, test = names[:200], names[200:]
    clips = SimpleNamespace(labels=labels, classes=tuple("abcde"))
    part = SimpleNamespace(test=pl.DataFrame({"utterance_id": test}))
    found = classical._predict(ClassicalBaseline(), clips, train, part, vectors).argmax(axis=1)  # type: ignore[arg-type]
    machines = {ties: SVC(gamma="auto", break_ties=ties) for ties in (False, True)}
    theirs = {
        ties: machine.fit([vectors[name] for name in train], [labels[name] for name in train]).predict(
            [vectors[name] for name in test]
        )
        for ties, machine in machines.items()
    }
    assert (found == theirs[True]).all() and (found != theirs[False]).any()
