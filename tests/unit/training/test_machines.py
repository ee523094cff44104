"""Support vector machines and logistic regression against scikit-learn's own pipeline."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emoadapt.errors import TrainingError
from emoadapt.methods.svm import Config
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
from emoadapt.training import machines
from emoadapt.training.interruption import Interrupted

RUNS = [Run(), Run(fold=1)]


def run(work, subset: str = "full", model: str = "egemaps.original.svm", **settings) -> pl.DataFrame:
    backbone = model.partition(".")[0]
    work.values["finetunings"]["svm"] = {"method": "svm", "backbones": [backbone], **settings}
    tables = work.train(model, RUNS, "machine", subset=subset)
    judged = not (settings.get("train_on_dev") and subset == "full")
    assert tables["embeddings"].is_empty() and tables["curves"]["part"].unique().to_list() == ["dev"] * judged
    return tables["predictions"]


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
    assert found.select("backbone", "start", "finetuning").unique().rows() == [("egemaps", "original", "svm")]


def test_dev_clips_stay_out_of_a_subset(work) -> None:
    """An exact number of training clips is what a subset promises."""
    work.write_labelled()
    assert (
        run(work, subset="8", train_on_dev=True)
        .select("utterance_id", "logits")
        .equals(run(work, subset="8").select("utterance_id", "logits"))
    )


def test_a_job_that_is_asked_to_end_continues_with_the_next_run(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_labelled()
    run(work)
    table = work.folder / "machine" / "predictions.parquet"
    whole = table.read_bytes()
    table.unlink()
    fit, predicted = machines.FrozenTraining.fit_candidate, []

    def fit_and_tell(training, run, *args):
        predicted.append(run)
        os.kill(os.getpid(), signal.SIGTERM)
        return fit(training, run, *args)

    monkeypatch.setattr(machines.FrozenTraining, "fit_candidate", fit_and_tell)
    with pytest.raises(Interrupted, match=r"full\.p0f0r0s0: SIGTERM ended the job after this run; run the same"):
        run(work)
    assert predicted == RUNS[:1] and not table.exists()
    run(work)
    assert predicted == RUNS, "the first run was done"
    assert table.read_bytes() == whole
    assert not list((work.folder / "machine").glob(".*"))


def test_tied_votes_are_decided_by_the_largest_decision_value() -> None:
    """As docs/evaluation.md says; scikit-learn does so with `break_ties=True` only."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 400)
    vectors = rng.normal(size=(400, 3)) + 0.3 * np.eye(5, 3)[labels]
    train, test = slice(0, 200), slice(200, 400)
    machine = machines.build_machine(Config(method="svm")).fit(vectors[train], labels[train])
    found = machines._decide(machine, vectors[test], 5).argmax(axis=1)
    tied = {ties: SVC(gamma="auto", break_ties=ties) for ties in (False, True)}
    theirs = {ties: svc.fit(vectors[train], labels[train]).predict(vectors[test]) for ties, svc in tied.items()}
    assert (found == theirs[True]).all() and (found != theirs[False]).any()


def expect(work, layers: dict[str, np.ndarray], layer: int, machine) -> list[str]:
    """What a pipeline of scikit-learn predicts of the test clips of `RUNS`."""
    splits = pl.from_arrow(read_table(work.folder / "splits.parquet")).filter(pl.col("utterance_id") != "acted/001")
    expected = []
    for fold in (0, 1):
        part = splits.filter(split="train", fold=fold)
        fitted = make_pipeline(StandardScaler(), machine)
        fitted.fit(np.stack([layers[name][layer] for name in part["utterance_id"]]), part["label"].to_list())
        test = splits.filter(split="test", fold=fold).sort("corpus", "utterance_id")["utterance_id"]
        expected += fitted.predict(np.stack([layers[name][layer] for name in test])).tolist()
    return expected


@pytest.mark.parametrize(("layer", "place"), [("last", 2), (0, 0), (1, 1)])
def test_a_machine_reads_the_layer_that_is_named(work, layer: str | int, place: int) -> None:
    work.write_labelled()
    layers = work.make_layers()
    work.write_layers(layers)
    found = run(work, model="tiny.original.svm", layer=layer)
    assert found["predicted"].to_list() == expect(work, layers, place, SVC(gamma="auto"))
    assert found.select("backbone", "start", "finetuning").unique().rows() == [("tiny", "original", "svm")]


def run_logistic(work, **settings) -> pl.DataFrame:
    work.add_probe(classifier="logistic", **settings)
    tables = work.train("tiny.original.probe", RUNS, "logistic")
    assert tables["embeddings"].is_empty() and set(tables["curves"]["part"]) - {"dev"} == (
        {"choice"} if settings["layer"] == "best" else set()
    )
    return tables["predictions"]


@pytest.mark.parametrize(("layer", "place"), [("last", 2), (0, 0)])
def test_logistic_regression_is_that_of_scikit_learn(work, layer: str | int, place: int) -> None:
    work.write_labelled()
    layers = work.make_layers()
    work.write_layers(layers)
    found = run_logistic(work, layer=layer, c=0.5)
    assert found["predicted"].to_list() == expect(work, layers, place, LogisticRegression(C=0.5, max_iter=2000))
    logits = np.array(found["logits"].to_list(), dtype=np.float64)
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1.0, atol=1e-6, err_msg="log-probabilities")


def test_logistic_regression_takes_the_best_layer(work) -> None:
    work.write_labelled()
    work.write_layers(work.make_layers())
    best, named = run_logistic(work, layer="best"), run_logistic(work, layer=1)
    assert best.equals(named)


def test_a_layer_that_does_not_exist_is_refused(work) -> None:
    work.write_labelled()
    work.write_layers(work.make_layers())
    # Of weights, only the layers themselves tell how many there are.
    work.values["backbones"]["tiny"]["untrained"]["layers"] = 9
    sentence = "the backbone has no layer 3; choose one from 0 to 2"
    with pytest.raises(TrainingError, match=sentence):
        run(work, model="tiny.original.svm", layer=3)
    with pytest.raises(TrainingError, match=sentence):
        run_logistic(work, layer=3)


def test_balanced_weights_are_those_of_scikit_learn(work) -> None:
    work.write_labelled()
    layers = work.make_layers(seed=6)
    work.write_layers(layers)
    found = run_logistic(work, layer=0, class_weights="balanced")
    machine = LogisticRegression(class_weight="balanced", max_iter=2000)
    assert found["predicted"].to_list() == expect(work, layers, 0, machine)


WITHOUT_TORCH = """
import sys
from pathlib import Path

import numpy as np
import emoadapt.methods.svm
from emoadapt.config import load_study
from emoadapt.study.nodes import Model, Run, Setting
from emoadapt.training.jobs import TaskJob, run_job
import json

folder, values = Path(sys.argv[1]), json.loads(sys.stdin.read())
for backbone, feature in (("egemaps", "egemaps"), ("tiny", "layers")):
    values["finetunings"] = {"svm": {"method": "svm", "backbones": [backbone]}}
    shards = {"layers.tiny" if feature == "layers" else feature: {"acted": [folder / f"{feature}.parquet"]}}
    job = TaskJob(load_study(values), backbone, "original", shards, folder / backbone, 1,
                  Setting("emotion", Model(backbone, "original", "svm"), "full"), [Run()],
                  [folder / "splits.parquet"])
    run_job(job, 0)
    assert (folder / backbone / "predictions.parquet").is_file()
assert "torch" not in sys.modules, "torch was imported"
"""


def test_a_machine_needs_no_torch(work) -> None:
    """It takes seconds to import, which is longer than most machines take."""
    work.write_labelled()
    work.write_layers(work.make_layers())
    command = [sys.executable, "-c", WITHOUT_TORCH, str(work.folder)]
    done = subprocess.run(command, input=json.dumps(work.values), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
