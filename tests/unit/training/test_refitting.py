"""Classifiers that are fitted once more, on all labelled clips or as a run was, to predict with."""

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.io import wavfile
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emoadapt import schema
from emoadapt.evaluation.questions import pose_question
from emoadapt.features.base import Context
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.predict import predict_files
from emoadapt.plugins import load_plugin
from emoadapt.storage.folders import verify_folder
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training import probing, states
from emoadapt.training.curve import find_typical
from emoadapt.training.interruption import Interrupted
from emoadapt.training.refitting import refit_classifier
from emoadapt.training.trainer import Trainer
from emoadapt.training.watchers import Watcher

FOLDS = (Run(), Run(fold=1), Run(fold=2))
MACHINE, PROBE = "egemaps.original.svm", "egemaps.original.probe"
REFITTING = "emoadapt.training.refitting"


@pytest.fixture
def labelled(work):
    """Descriptors of the clips, of which `acted/001` has none; every fifth label is wrong, so that scores differ."""
    work.write_labelled()
    other = {"low": "high", "high": "low"}
    wrong = {f"acted/{number:03}" for number in range(0, 100, 5)}
    work.edit(
        "splits",
        lambda row: row | {"label": other[row["label"]] if row["utterance_id"] in wrong else row["label"]},
        schema.SPLITS,
    )
    rows = [row for row in read_table(work.folder / "audio.parquet").to_pylist() if row["status"] == "ok"]
    plugin = load_plugin("features", "egemaps")
    found = plugin.load(plugin.Config(), Context(Path("models"), "cpu", 1)).extract(rows)
    kept = [
        {"utterance_id": a["utterance_id"], "key": "k", "status": "ok", **b} for a, b in zip(rows, found, strict=True)
    ]
    kept.append({"utterance_id": "acted/001", "key": "k", "status": "failed", "reason": "upstream audio: x"})
    write_table(work.folder / "egemaps.parquet", kept, schema.feature_table("egemaps"))
    work.values["keep_models"] = "best"
    return work


def train(work, model: str, runs: tuple[Run, ...], **settings: Any) -> dict[str, pl.DataFrame]:
    if model == MACHINE:
        work.tune("svm", method="svm", backbones=["egemaps"], **settings)
    else:
        work.add_probe(**{"backbones": ["egemaps"], "layer": "last", "learning_rate": 3e-2, **settings})
    return work.train(model, runs)


def refit(work, model: str, runs: tuple[Run, ...]) -> tuple[EmotionClassifier, Path]:
    """The classifier and its folder."""
    tables = [work.folder / "run" / f"{name}.parquet" for name in ("curves", "predictions")]
    refit_classifier(work.task_job(model, runs, "refit"), tables)
    assert not list((work.folder / "refit").glob(".*")), "nothing of the job is left"
    (folder,) = (work.folder / "refit" / "models").glob("*/")
    verify_folder(folder, whole=True)
    return load_classifier(folder), folder


def predict(work, classifier: EmotionClassifier, names: list[str]) -> list[Any]:
    audio = {row["utterance_id"]: row["audio"] for row in read_table(work.folder / "audio.parquet").to_pylist()}
    files = []
    for name in names:
        files.append(work.folder / f"{name.replace('/', '_')}.wav")
        wavfile.write(files[-1], schema.SAMPLE_RATE, np.frombuffer(audio[name], "<i2"))
    return list(predict_files(classifier, files, device="cpu"))


def read_known(work) -> tuple[list[str], np.ndarray, list[str]]:
    """Labelled clips of the task's corpus, in order: names, vectors, labels."""
    splits = read_table(work.folder / "splits.parquet").to_pylist()
    labels = {row["utterance_id"]: row["label"] for row in splits if row["corpus"] == "acted" and row["fold"] == 0}
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    vectors = {row["utterance_id"]: row["egemaps"] for row in rows if row["status"] == "ok"}
    names = sorted(labels.keys() & vectors.keys())
    return names, np.array([vectors[name] for name in names], dtype=np.float32), [labels[name] for name in names]


def test_the_run_with_the_highest_score_is_never_the_one_that_is_kept() -> None:
    """Symptom: of five folds the one with the easiest clips was offered; its test score was below chance."""
    runs = ["a", "b", "c", "d", "e"]
    scores = dict(zip(runs, (0.61, 0.70, 0.55, 0.58, 0.64), strict=True))
    assert find_typical(runs, scores) == "a"
    assert find_typical(runs[:4], scores) == "d", "of two in the middle the lower one"
    assert find_typical(runs[:2], scores) == "a"
    assert find_typical(runs, {"d": 0.5, "e": 0.5}) == "d"
    assert find_typical(runs, {}) == "a"


def test_with_folds_a_machine_is_fitted_to_all_labelled_clips_with_the_settings_of_most_runs(labelled) -> None:
    """As scikit-learn fits it, by itself."""
    tables = train(labelled, MACHINE, FOLDS, c=[0.01, 1.0, 30.0])
    assert not list((labelled.folder / "run" / "models").glob("*/")), "no run is kept"
    chosen = tables["curves"].filter("best", part="choice")
    counts = chosen.group_by("epoch", "metric").agg(pl.len()).sort("len", "epoch", descending=[True, False])
    _, name, times = counts.row(0)
    classifier, folder = refit(labelled, MACHINE, FOLDS)
    names, vectors, labels = read_known(labelled)
    machine = make_pipeline(StandardScaler(), SVC(C=float(name.removeprefix("c=")), gamma="auto", break_ties=True))
    found = predict(labelled, classifier, names)
    assert [row.label for row in found] == machine.fit(vectors, labels).predict(vectors).tolist()
    odds = [np.log(row.probabilities["low"] / row.probabilities["high"]) for row in found]
    np.testing.assert_allclose(odds, 2 * machine.decision_function(vectors), atol=5e-3)
    card = (folder / "README.md").read_text()
    assert folder.name == "emotion.egemaps.original.svm.full.whole"
    said = f"acted: {len(names)} of the {len(names) + 1} labelled clips; left out: 1 without usable input (see `emoadapt quarantine`)"
    assert f"| fine-tuned on | {said} |" in card, "acted/001 has no descriptors"
    assert f"| settings | {name}, chosen by {times} of 3 trainings |" in card
    assert "| test macro-F1 | none: it was fitted to clips of every test part, and was never tested itself |" in card


@pytest.mark.parametrize("attributes", [(), ("arousal", "valence")])
def test_the_expected_score_is_the_mean_that_the_report_gives(labelled, attributes: tuple[str, ...]) -> None:
    kind, outputs, metric = "classes", ("low", "high"), "macro_f1"
    if attributes:
        task = labelled.values["tasks"]["emotion"]
        del task["classes"]
        task["attributes"] = list(attributes)
        kind, outputs, metric = "attributes", attributes, "ccc_mean"
    runs = tuple(Run(fold=fold, seed=seed) for seed in (0, 1) for fold in range(3))
    train(labelled, PROBE, runs, epochs=2, learning_rate=1e-3)
    _, folder = refit(labelled, PROBE, runs)
    question = pose_question("emotion", kind, outputs)  # type: ignore[arg-type]
    frame = question.order(question.read([labelled.folder / "run" / "predictions.parquet"]))
    scores = [
        row["value"] for row in question.score_runs(frame) if (row["metric"], row["test_corpus"]) == (metric, "acted")
    ]
    assert len(scores) == 2 and scores[0] != scores[1]
    said = "mean CCC" if attributes else "macro-F1"
    card = (folder / "README.md").read_text()
    assert f"| expected {said} | {np.mean(scores):.3f}, the mean over 2 runs: trainings on parts of these clips" in card


def test_a_probe_that_chooses_an_epoch_leaves_out_the_dev_part_of_the_median_run(labelled) -> None:
    tables = train(labelled, PROBE, FOLDS)
    dev = tables["curves"].filter("best", part="dev", metric="macro_f1")
    middle = dev.sort("value", maintain_order=True)["run"][1]
    fold = Run.parse(middle.rpartition(".")[2]).fold
    classifier, folder = refit(labelled, PROBE, FOLDS)
    splits = pl.DataFrame(read_table(labelled.folder / "splits.parquet").to_pylist()).filter(fold=fold, split="dev")
    names, _, labels = read_known(labelled)
    held = set(splits["utterance_id"]) & set(names)
    assert (
        f"| fine-tuned on | acted: {len(names) - len(held)} of the {len(names) + 1} labelled clips; left out: {len(held)} of the dev part "
        f"of run p0f{fold}r0s0, which chose the epoch and 1 without usable input (see `emoadapt quarantine`) |"
    ) in (folder / "README.md").read_text()
    right = [row.label == label for row, label in zip(predict(labelled, classifier, names), labels, strict=True)]
    assert np.mean(right) > 0.7, "every fifth label is wrong"


@pytest.mark.parametrize("model", [MACHINE, PROBE])
def test_with_one_division_the_median_run_is_fitted_again_and_predicts_what_it_did(labelled, model: str) -> None:
    runs = (Run(),) if model == MACHINE else tuple(Run(seed=seed) for seed in range(3))
    tables = train(labelled, model, runs, **({"c": [0.1, 1.0]} if model == MACHINE else {"epochs": 2}))
    scores = dict(tables["curves"].filter("best", part="dev", metric="macro_f1").select("run", "value").iter_rows())
    classifier, folder = refit(labelled, model, runs)
    assert folder.name == find_typical([f"emotion.{model}.full.{run}" for run in runs], scores)
    kept = Run.parse(folder.name.rpartition(".")[2])
    rows = tables["predictions"].filter(seed=kept.seed)
    found = predict(labelled, classifier, rows["utterance_id"].to_list())
    assert [row.label for row in found] == rows["predicted"].to_list()
    logits = np.array(rows["logits"].to_list())
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([list(row.probabilities.values()) for row in found], wanted, atol=1e-4)
    card = (folder / "README.md").read_text()
    assert "(this run on its fold of acted; means over runs are in the report)" in card
    assert f"| dev macro-F1 | {scores[folder.name]:.3f} |" in card


def test_clips_that_only_other_partitions_use_are_counted_as_left_out(labelled) -> None:
    """Symptom: `all 35 labelled clips`, where another partition had one more."""
    rows = [row for row in read_table(labelled.folder / "splits.parquet").to_pylist() if row["fold"] < 2]
    lone = {(0, "acted/003"), (1, "acted/005")}
    rows = [
        row | {"partition": row["fold"], "fold": 0} for row in rows if (row["fold"], row["utterance_id"]) not in lone
    ]
    write_table(labelled.folder / "splits.parquet", rows, schema.SPLITS)
    runs = Run(), Run(partition=1)
    train(labelled, MACHINE, runs)
    _, folder = refit(labelled, MACHINE, runs)
    said = r"acted: 34 of the 36 labelled clips; left out: 1 without usable input \(see `emoadapt quarantine`\) and 1 in no part of partition [01], fold 0 "
    assert re.search(said, (folder / "README.md").read_text())


def test_the_log_of_a_run_is_not_replaced_by_that_of_the_kept_classifier(
    labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: `logs/training/<run>/metrics.csv` held the training on all clips, which no table of the run agreed with."""
    monkeypatch.chdir(labelled.folder)
    labelled.values["logs"] = ["csv"]
    train(labelled, PROBE, FOLDS, epochs=2)
    logs = {path: path.read_bytes() for path in Path("logs").rglob("metrics.csv")}
    assert len(logs) == len(FOLDS)
    refit(labelled, PROBE, FOLDS)
    assert {path: path.read_bytes() for path in Path("logs").rglob("metrics.csv")} == logs


class Killer(Watcher):
    """Ends the job in a batch of training."""

    def __init__(self) -> None:
        self.batches, self.last = 0, 0

    def begin_batch(self) -> None:
        self.batches += 1
        if self.batches == self.last:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("runs", [FOLDS, tuple(Run(seed=seed) for seed in range(3))])
def test_a_refit_that_was_ended_continues_to_the_same_bytes_unless_its_code_changed(
    labelled, runs: tuple[Run, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(labelled, PROBE, runs, epochs=4)
    killer = Killer()

    def build(*args, **kwargs):
        trainer = Trainer(*args, **kwargs)
        trainer.watchers.append(killer)
        return trainer

    monkeypatch.setattr(probing, "Trainer", build)
    _, folder = refit(labelled, PROBE, runs)
    whole, batches = {path.name: path.read_bytes() for path in folder.iterdir()}, killer.batches
    shutil.rmtree(folder.parent)
    code = states.code_digest
    for changed in (False, True):
        killer.batches, killer.last = 0, batches // 2
        with pytest.raises(Interrupted, match="continues from"):
            refit(labelled, PROBE, runs)
        if changed:
            # As after an update that divides the clips in another way.
            monkeypatch.setattr(states, "code_digest", lambda *names: code(*names) + "2" * (REFITTING in names))
        refit(labelled, PROBE, runs)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
        assert killer.batches == batches + changed * (batches // 2)
        shutil.rmtree(folder.parent)
