"""Classifiers on frozen layers and on descriptors that are kept, and predict what their test runs predicted."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import wavfile
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from emoadapt import schema
from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ModelError
from emoadapt.extraction.outputs import LayersExtractor
from emoadapt.inference.classifier import build_from_weights, load_classifier
from emoadapt.inference.command import run_predict
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.inference.predict import predict_files
from emoadapt.layers.heads import SupportVectorHead
from emoadapt.storage.folders import verify_folder
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training import machines
from emoadapt.training.interruption import Interrupted
from emoadapt.training.keeping import take_regression, take_support

RUNS = (Run(), Run(fold=1))


@pytest.fixture
def labelled(work):
    """Layers are those of `tiny`, and descriptors are computed, from the clips."""
    work.write_labelled()
    work.write_frontend(work.folder / "audio.parquet", None, work.folder / "layers.parquet", "layers")
    work.write_descriptors()
    work.values["keep_models"] = "all"
    return work


def run(work, *runs: Run, name: str = "run", model: str = "tiny.original.probe", **settings: Any):
    if model.endswith("svm"):
        work.tune("svm", method="svm", backbones=[model.partition(".")[0]], **settings)
    else:
        work.add_probe(backbones=[model.partition(".")[0]], **settings)
    return work.train(model, runs or RUNS, name)


def list_folders(work, name: str = "run") -> list[Path]:
    return sorted((work.folder / name / "models").glob("*/"))


def write_clips(work) -> dict[str, Path]:
    """A sound file of each clip."""
    files = {}
    for row in read_table(work.folder / "audio.parquet").to_pylist():
        if row["audio"] is not None:
            files[row["utterance_id"]] = work.folder / f"{row['utterance_id'].replace('/', '_')}.wav"
            wavfile.write(files[row["utterance_id"]], schema.SAMPLE_RATE, np.frombuffer(row["audio"], "<i2"))
    return files


def compare(work, tables: dict[str, pl.DataFrame], name: str = "run") -> None:
    """What `emoadapt predict` gives for the test clips of each kept run is what the run predicted."""
    files, folders = write_clips(work), list_folders(work, name)
    assert folders
    for folder in folders:
        verify_folder(folder, whole=True)
        kept = Run.parse(folder.name.rpartition(".")[2])
        rows = tables["predictions"].filter(partition=kept.partition, fold=kept.fold, seed=kept.seed)
        names = rows["utterance_id"].unique(maintain_order=True)
        classifier = load_classifier(folder)
        found = list(predict_files(classifier, [files[name] for name in names], device="cpu"))
        assert [prediction.status for prediction in found] == ["ok"] * len(names)
        if classifier.attributes:
            values = np.array([list(prediction.values.values()) for prediction in found])
            wide = rows.pivot("attribute", index="utterance_id", values="predicted", maintain_order=True)
            np.testing.assert_allclose(values, wide.select(classifier.attributes).to_numpy(), rtol=1e-4)
            continue
        assert [prediction.label for prediction in found] == rows["predicted"].to_list()
        wanted = torch.tensor(rows["logits"].to_list()).softmax(dim=1)
        probabilities = np.array([list(prediction.probabilities.values()) for prediction in found])
        np.testing.assert_allclose(probabilities, wanted, atol=1e-4)
        assert probabilities.std(axis=0).max() > 0.01, "clips differ"


SMALL: dict[str, Any] = {
    "conv_dim": [16, 32], "conv_kernel": [20, 16], "conv_stride": [20, 8], "hidden_size": 32, "layers": 1, "heads": 2,
    "intermediate_size": 32, "conv_pos_kernel": 4, "conv_pos_groups": 4,
}  # fmt: skip
KINDS: list[dict[str, Any]] = [
    {"classifier": "linear", "layer": "weighted", "learning_rate": 3e-2},
    {"classifier": "mlp", "layer": "last", "head_hidden": 5, "learning_rate": 3e-2},
    {"classifier": "linear", "layer": 0, "normalise": "none", "learning_rate": 3e-2},
    {"classifier": "logistic", "layer": 1, "c": 0.1},
    {"classifier": "logistic", "layer": [0, 1], "c": [0.1, 1.0], "choose_by": "dev"},
    {"classifier": ["svm", "logistic"], "layer": "last"},
    {"classifier": "svm", "layer": "best"},
]


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_a_kept_probe_predicts_what_its_test_run_predicted(labelled, settings: dict[str, Any]) -> None:
    compare(labelled, run(labelled, **settings))


@pytest.mark.parametrize("settings", [{"kernel": "rbf"}, {"kernel": "linear", "layer": 1}], ids=str)
def test_a_kept_support_vector_machine_predicts_what_its_test_run_predicted(labelled, settings) -> None:
    compare(labelled, run(labelled, model="tiny.original.svm", **settings))


@pytest.mark.parametrize("model", ["egemaps.original.svm", "egemaps.original.probe"])
def test_a_kept_classifier_on_descriptors_predicts_what_its_test_run_predicted(labelled, model: str) -> None:
    settings = {} if model.endswith("svm") else {"classifier": "logistic", "layer": "last"}
    tables = run(labelled, model=model, **settings)
    compare(labelled, tables)
    card = (list_folders(labelled)[0] / "README.md").read_text()
    assert "| embedding | the vector computed from the feature egemaps, z-scored with the training clips |" in card
    assert "library_name: emoadapt\npipeline_tag: audio-classification\n" in card
    assert "reads the feature `egemaps`" in card and ("say no more than the rank" in card) is model.endswith("svm")


def test_predict_says_that_a_support_vector_machine_has_no_probabilities(
    labelled, capsys: pytest.CaptureFixture[str]
) -> None:
    run(labelled, Run(), model="tiny.original.svm")
    (folder,), files = list_folders(labelled), write_clips(labelled)
    assert run_predict(folder, [files["acted/000"]], device="cpu")
    assert "is a support vector machine; its probabilities are" in capsys.readouterr().err


def test_a_classifier_on_a_frozen_backbone_is_not_exported(labelled) -> None:
    run(labelled, Run(), classifier="logistic", layer=1)
    (folder,) = list_folders(labelled)
    with pytest.raises(ModelError, match="only a fine-tuned model can be exported to ONNX; use `emoadapt predict`"):
        export_onnx(load_classifier(folder), labelled.folder / "model.onnx")


def test_a_damaged_description_of_the_layers_is_named(labelled) -> None:
    run(labelled, Run(), classifier="logistic", layer=1)
    (folder,) = list_folders(labelled)
    (folder / "contents.json").unlink()
    (folder / "frozen.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"frozen\.safetensors cannot be read \(.*\); copy the whole folder again"):
        load_classifier(folder)


def test_a_kept_probe_of_ratings_predicts_them(labelled) -> None:
    task = labelled.values["tasks"]["emotion"]
    del task["classes"]
    task["attributes"] = ["arousal", "valence"]
    compare(labelled, run(labelled, layer="weighted", learning_rate=3e-2))


def write_layers(work, backbone: Any) -> None:
    """Layers of a backbone that replaces `tiny`, computed from the clips."""
    every = read_table(work.folder / "audio.parquet").to_pylist()
    rows = [row for row in every if row["audio"] is not None]
    found = LayersExtractor(backbone, {"audio": AUDIO}).extract(rows)
    kept = [
        {"utterance_id": a["utterance_id"], "key": "k", "status": "ok", **b} for a, b in zip(rows, found, strict=True)
    ]
    kept.append({"utterance_id": "acted/001", "key": "k", "status": "failed", "reason": "upstream audio: x"})
    write_table(work.folder / "layers.parquet", kept, schema.LAYERS)


def test_a_branch_of_care_is_kept(labelled) -> None:
    text = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 9, "positions": 8}
    backbones = labelled.values["backbones"]
    backbones["tiny"]["untrained"]["layers"] = 2
    backbones |= {
        "words": {"architecture": "bert", "untrained": text},
        "care": {"architecture": "care", "speech": "tiny", "text": "words", "common": 1},
    }
    write_layers(labelled, load_backbone(labelled.study.backbones["care"], Path("models")))
    settings = {"classifier": "logistic", "layer": "last", "branch": "semantic"}
    compare(labelled, run(labelled, model="care.original.probe", **settings))
    assert "semantic part" in (list_folders(labelled)[0] / "README.md").read_text()


def test_a_probe_of_an_adapted_model_is_kept_with_it(labelled) -> None:
    """The backbone's own pooling and adapters, which a probe does not read, are left out."""
    dimensions = UntrainedBackbone(**SMALL | {"seed": 7})
    build_untrained("wav2vec2", dimensions).save(labelled.folder / "model", {"title": "adapted"})
    write_layers(labelled, load_folder(labelled.folder / "model", origin="adapted", trained=True))
    labelled.values["backbones"]["tiny"] |= {"pooling": "attention", "lora": {"rank": 2}}
    labelled.add_probe(classifier="logistic", layer=1)
    tables = labelled.train("tiny.all.probe", RUNS, start=labelled.folder / "model")
    compare(labelled, tables)
    assert "Stage-1 corpora" in (list_folders(labelled)[0] / "README.md").read_text()


def test_a_class_without_training_clips_has_the_probability_zero() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    labels = np.array([1, 3] * 20)
    head = build_from_weights(take_regression(LogisticRegression().fit(vectors, labels), 4), 4)
    found = head(torch.from_numpy(vectors)).softmax(dim=1).detach().numpy()
    assert (found[:, [0, 2]] == 0).all() and np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_logistic_regression_has_the_probabilities_of_the_library(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    labels = np.arange(90) % n_classes
    vectors = (rng.normal(size=(90, 4)) + labels[:, None] * [1, 0, 0.5, 0]).astype(np.float32)
    machine = LogisticRegression(C=0.3, max_iter=2000).fit(vectors, labels)
    head = build_from_weights(take_regression(machine, n_classes), n_classes)
    found = head(torch.from_numpy(vectors)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, machine.predict_proba(vectors), atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_a_support_vector_head_has_the_decision_values_of_the_library(
    n_classes: int, kernel: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(n_classes)
    labels = np.arange(120) % n_classes
    vectors = (rng.normal(size=(120, 4)) + labels[:, None] * [1, 0, 0.5, 0]).astype(np.float32)
    # Places of the outputs: the second one had no training clip.
    places = labels + (labels >= 1)
    machine = SVC(kernel=kernel, gamma="auto", class_weight="balanced", decision_function_shape="ovr")
    machine.fit(vectors, places)
    save_file(
        {name: value.contiguous() for name, value in take_support(machine).items()}, tmp_path / "head.safetensors"
    )
    head = SupportVectorHead(take_support(machine), n_classes + 1)
    other = rng.normal(size=(50, 4)).astype(np.float32)
    wanted = machines._decide(machine, other, n_classes + 1)
    np.testing.assert_allclose(head(torch.from_numpy(other)).numpy(), wanted, atol=1e-9)
    assert np.isneginf(wanted[:, 1]).all()


@pytest.mark.parametrize("policy", ["adapted", "best"])
def test_the_dev_part_ranks_runs_whether_or_not_any_is_kept(labelled, policy: str) -> None:
    """Only `all` keeps runs: for `best` a classifier is fitted once more when they are done (test_refitting)."""
    labelled.values["keep_models"] = policy
    dev = run(labelled, classifier="logistic", layer=1)["curves"].filter(part="dev")
    assert dev["metric"].unique().to_list() == ["macro_f1"] and dev["best"].all() and dev.height == len(RUNS)
    assert not list_folders(labelled)


def test_a_kept_run_says_what_it_reads_and_how_it_scored(labelled) -> None:
    dev = run(labelled, classifier="logistic", layer=1)["curves"].filter(part="dev")
    for folder in list_folders(labelled):
        card = (folder / "README.md").read_text()
        assert f"| dev macro-F1 | {dev.filter(run=folder.name)['value'].item():.3f} |" in card
        assert "layer 1 of the frozen backbone, averaged over time, z-scored with the training clips" in card
        assert "**not pretrained**" in card
        assert "library_name: emoadapt\npipeline_tag: audio-classification\n" in card


def test_what_chose_among_combinations_is_on_the_card(labelled) -> None:
    run(labelled, classifier="logistic", layer=[0, 1])
    for folder in list_folders(labelled):
        assert "| chosen | layer=" in (card := (folder / "README.md").read_text())
        assert "by inner folds over training speakers" in card


def test_where_dev_is_trained_on_there_is_no_score_of_it(labelled) -> None:
    tables = run(labelled, classifier="logistic", layer=[0, 1], train_on_dev=True)
    assert set(tables["curves"]["part"]) == {"choice"}
    assert "| dev macro-F1 |" not in (list_folders(labelled)[0] / "README.md").read_text()


@pytest.mark.parametrize("settings", [KINDS[0], KINDS[3], KINDS[5]], ids=str)
def test_keeping_a_model_changes_no_prediction(labelled, settings: dict[str, Any]) -> None:
    kept = run(labelled, name="kept", **settings)
    labelled.values["keep_models"] = "adapted"
    plain = run(labelled, name="plain", **settings)
    assert kept["predictions"].equals(plain["predictions"])
    assert not list_folders(labelled, "plain")


def test_folders_of_a_job_share_the_files_of_the_backbone(labelled) -> None:
    run(labelled, classifier="logistic", layer=1)
    first, second = (folder / "model.safetensors" for folder in list_folders(labelled))
    assert first.samefile(second)
    assert not (first.parent / "head.safetensors").samefile(second.parent / "head.safetensors")


@pytest.mark.parametrize("scope", ["corpus", "speaker"])
def test_statistics_of_unlabelled_clips_keep_no_model(labelled, scope: str) -> None:
    run(labelled, classifier="logistic", layer=1, normalise=scope)
    assert not list_folders(labelled)


def test_a_killed_job_keeps_the_models_of_the_runs_that_were_done(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = machines.FrozenTraining.fit_candidate

    def fit_and_end(training, run, *args):
        os.kill(os.getpid(), signal.SIGTERM)
        return fit(training, run, *args)

    monkeypatch.setattr(machines.FrozenTraining, "fit_candidate", fit_and_end)
    with pytest.raises(Interrupted):
        run(labelled, classifier="logistic", layer=1)
    monkeypatch.setattr(machines.FrozenTraining, "fit_candidate", fit)
    tables = run(labelled, classifier="logistic", layer=1)
    assert len(list_folders(labelled)) == len(RUNS)
    compare(labelled, tables)
