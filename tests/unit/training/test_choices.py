"""Choices among combinations of settings: what is tried, who chooses, and what is said."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.plugins import load_plugin
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
from emoadapt.training.choices import divide_speakers, list_candidates

TELLING = 1
LISTS = {"layer": [0, 1], "c": [0.01, 1.0], "classifier": ["logistic", "svm"]}


def name_candidates(depth: int = 3, method: str = "probe", **settings: Any) -> list[str]:
    config = load_plugin("methods", method).Config
    read = config.model_validate_json(json.dumps({"method": method, **settings}), strict=True)
    return [candidate.name for candidate in list_candidates(read, depth)]


def test_all_combinations_are_tried_in_the_order_of_the_lists() -> None:
    assert name_candidates(**LISTS) == [
        f"classifier={classifier} layer={layer} c={c}"
        for classifier in LISTS["classifier"] for layer in LISTS["layer"] for c in LISTS["c"]
    ]  # fmt: skip
    assert name_candidates(method="svm", layer="best", c=[1, 2]) == [
        f"layer={layer} c={c}" for layer in range(3) for c in (1.0, 2.0)
    ]


def test_a_classifier_is_combined_with_its_own_keys_only() -> None:
    """Weighted layers are learned by epochs; a linear kernel has no gamma; and a layer that is named twice is one."""
    names = name_candidates(classifier=["logistic", "mlp"], layer=["weighted", 2, "last"], c=[0.1, 1.0])
    assert names == [
        "classifier=logistic layer=2 c=0.1", "classifier=logistic layer=2 c=1.0", "classifier=mlp layer=weighted",
        "classifier=mlp layer=2",
    ]  # fmt: skip
    names = name_candidates(method="svm", kernel=["linear", "rbf"], gamma=["auto", 0.1])
    assert names == ["kernel=linear", "kernel=rbf gamma=auto", "kernel=rbf gamma=0.1"]
    assert name_candidates(layer=["best", "weighted"]) == ["layer=0", "layer=1", "layer=2", "layer=weighted"]
    assert name_candidates(depth=1, layer=["best", "weighted"]) == ["layer=0"]


def test_one_value_for_each_key_is_no_choice() -> None:
    assert name_candidates(classifier="logistic", layer=1) == [""]


def get_parts(work, fold: int) -> dict[str, pl.DataFrame]:
    splits = pl.from_arrow(read_table(work.folder / "splits.parquet", schema.SPLITS))
    rows = splits.filter(pl.col("utterance_id") != "acted/001", fold=fold)  # type: ignore[arg-type]
    return {part: rows.filter(split=part).sort("corpus", "utterance_id") for part in ("train", "dev", "test")}


def make_machine(name: str) -> Any:
    """Of scikit-learn, for the name of a combination."""
    chosen = dict(pair.split("=") for pair in name.split())
    c = float(chosen["c"])
    plain = LogisticRegression(C=c, max_iter=2000) if chosen["classifier"] == "logistic" else SVC(C=c, gamma="auto")
    return make_pipeline(StandardScaler(), plain), int(chosen["layer"])


def choose_by_hand(
    work, layers: dict[str, np.ndarray], choose_by: str, most: int
) -> tuple[str, list[float], list[str]]:
    """Names of the combination chosen in fold 0, scores of all, and predictions of the test clips."""
    parts = get_parts(work, 0)
    pairs = [(parts["train"], parts["dev"])]
    if choose_by == "folds":
        train = parts["train"].sort("utterance_id")
        speakers = dict(train.select("utterance_id", "speaker").iter_rows())
        labels = {name: int(label == "high") for name, label in train.select("utterance_id", "label").iter_rows()}
        pairs = [
            tuple(train.filter(pl.col("utterance_id").is_in(names)) for names in fold)
            for fold in divide_speakers("", speakers, labels, most)
        ]  # type: ignore[misc]

    def fit(name: str, train: pl.DataFrame, asked: pl.DataFrame) -> list[str]:
        machine, layer = make_machine(name)
        stacks = [np.stack([layers[clip][layer] for clip in rows["utterance_id"]]) for rows in (train, asked)]
        return list(machine.fit(stacks[0], train["label"].to_list()).predict(stacks[1]))

    truth = [label for _, asked in pairs for label in asked["label"]]
    names, scores = name_candidates(**LISTS), []
    for name in names:
        found = [label for train, asked in pairs for label in fit(name, train, asked)]
        scores.append(f1_score(truth, found, average="macro"))
    best = names[int(np.argmax(scores))]
    return best, scores, fit(best, parts["train"], parts["test"])


@pytest.mark.parametrize("choose_by", ["dev", "folds"])
def test_a_choice_is_that_of_scikit_learn(work, choose_by: str) -> None:
    """Every combination, fitted and scored by a pipeline of its own; the first of the best counts."""
    work.write_labelled()
    layers = work.make_layers(TELLING, seed=3)
    layers = {name: values * 0.6 for name, values in layers.items()}
    work.write_layers(layers)
    work.add_probe(choose_by=choose_by, **LISTS)
    tables = work.train("tiny.original.probe")
    best, scores, predicted = choose_by_hand(work, layers, choose_by, 5)
    choices = tables["curves"].filter(part="choice")
    assert choices["metric"].to_list() == name_candidates(**LISTS)
    np.testing.assert_allclose(choices["value"], scores, atol=1e-9)
    assert len(set(scores)) > 2 and choices.filter("best")["metric"].to_list() == [best]
    assert tables["predictions"]["predicted"].to_list() == predicted


def test_machines_and_training_by_epochs_are_chosen_among(labelled_layers) -> None:
    work = labelled_layers
    lists = {"classifier": ["logistic", "svm", "linear"], "layer": [0, TELLING, "weighted"], "inner_folds": 2}
    work.add_probe(learning_rate=3e-2, epochs=3, **lists)
    tables = work.train("tiny.original.probe", [Run(), Run(seed=1)])
    choices = tables["curves"].filter(part="choice")
    assert choices["metric"].n_unique() == 7
    assert f1_score(tables["predictions"]["label"], tables["predictions"]["predicted"], average="macro") > 0.9
    assert not work.study.finetunings["probe"].deterministic
    by_seed = [
        part.filter(pl.col("metric").str.contains("logistic"))["value"].to_list()
        for part in choices.partition_by("run")
    ]
    assert by_seed[0] == by_seed[1], "a machine has one solution"


@pytest.fixture
def labelled_layers(work):
    work.write_labelled()
    work.write_layers(work.make_layers(TELLING))
    return work


def test_the_dev_part_is_trained_on_after_the_choice(labelled_layers) -> None:
    work = labelled_layers
    found = {}
    for choose_by in ("dev", "folds"):
        for joined in (False, True):
            work.add_probe(classifier="logistic", layer="best", choose_by=choose_by, train_on_dev=joined)
            found[choose_by, joined] = work.train("tiny.original.probe")
    choices = {key: tables["curves"].filter(part="choice")["value"].to_list() for key, tables in found.items()}
    assert choices["dev", True] == choices["dev", False], "the dev part cannot choose what was trained on it"
    assert choices["folds", True] != choices["folds", False], "its speakers are in the inner folds"
    logits = {key: np.array(tables["predictions"]["logits"].to_list()) for key, tables in found.items()}
    assert np.array_equal(logits["dev", True], logits["folds", True])
    assert not np.allclose(logits["dev", True], logits["dev", False])


def test_nobody_speaks_on_both_sides_of_an_inner_fold() -> None:
    random = np.random.default_rng(0)
    speakers = {f"c/{n:03}": f"s{random.integers(7)}" for n in range(80)}
    labels = {name: int(random.integers(3)) for name in speakers}
    folds = list(divide_speakers("", speakers, labels, 5))
    assert len(folds) == 5
    for rest, held in folds:
        assert not {speakers[name] for name in rest} & {speakers[name] for name in held}
        assert sorted(rest + held) == sorted(speakers)
    assert sorted(name for _, held in folds for name in held) == sorted(speakers)
    assert len(list(divide_speakers("", speakers, None, 20))) == 7, "there are seven speakers"


def write_speakers(work, name_speaker: Any) -> None:
    work.edit("splits", lambda row: row | {"speaker": name_speaker(row)}, schema.SPLITS)


@pytest.mark.parametrize(
    ("name_speaker", "sentence"),
    [
        (lambda row: row["split"], "its 11 training clips have one speaker, and inner folds over speakers need two"),
        (lambda row: None, "11 of the 11 training clips have no speaker, so inner folds cannot keep speakers apart"),
        (lambda row: row["label"], "without the speakers of one of 2 inner folds, its 11 training clips have one class only"),
    ],
    ids=["one speaker", "none", "a class each"],
)  # fmt: skip
def test_inner_folds_that_cannot_be_are_refused(labelled_layers, name_speaker: Any, sentence: str) -> None:
    """Symptom to prevent: a silent fall back to a choice on clips of speakers who are trained on."""
    work = labelled_layers
    write_speakers(work, name_speaker)
    work.add_probe(classifier="logistic", layer="best")
    with pytest.raises(TrainingError, match=rf"^run p0f1r0s0: {sentence}.*; set choose_by: dev"):
        work.train("tiny.original.probe", [Run(fold=1)])
    work.add_probe(classifier="logistic", choose_by="dev")
    assert not work.train("tiny.original.probe", [Run(fold=1)])["predictions"].is_empty()


def test_a_class_of_one_speaker_is_missing_in_an_inner_fold_and_learned_all_the_same(labelled_layers) -> None:
    """In the fold without it no classifier can be right about it, which none is preferred for."""
    work = labelled_layers
    work.values["tasks"]["emotion"]["classes"] = ["low", "high", "rare"]
    lone = {"acted/004", "acted/005"}
    parts = get_parts(work, 0)
    assert lone < set(parts["train"]["utterance_id"])
    tested = parts["test"]["utterance_id"][0]
    work.edit(
        "splits", lambda row: row | ({"label": "rare"} if row["utterance_id"] in {*lone, tested} else {}), schema.SPLITS
    )
    work.add_probe(classifier=["logistic", "svm"], layer="best")
    tables = work.train("tiny.original.probe")
    assert np.isfinite(np.array(tables["predictions"]["logits"].to_list())).all()
    assert tables["curves"].filter(part="choice").height == 6


def test_runs_choose_the_same_whatever_shares_their_job(labelled_layers) -> None:
    work = labelled_layers
    work.add_probe(**LISTS)
    runs = [Run(), Run(fold=1)]
    together = work.train("tiny.original.probe", runs, "together")
    for run in runs:
        alone = work.train("tiny.original.probe", [run], "alone")
        assert alone["predictions"].equals(together["predictions"].filter(fold=run.fold))
        assert alone["curves"].equals(together["curves"].filter(pl.col("run").str.ends_with(str(run))))


def test_ratings_choose_a_layer_by_their_ccc(labelled_layers) -> None:
    work = labelled_layers
    work.values["tasks"]["emotion"] |= {"attributes": ["arousal", "valence"]}
    del work.values["tasks"]["emotion"]["classes"]
    work.add_probe(layer=[0, TELLING], learning_rate=[3e-2, 1e-5], epochs=8, inner_folds=2)
    tables = work.train("tiny.original.probe")
    choices = tables["curves"].filter(part="choice")
    assert choices["metric"].to_list() == [f"layer={n} learning_rate={rate}" for n in (0, 1) for rate in (0.03, 1e-05)]
    assert choices.filter("best")["metric"].to_list() == [f"layer={TELLING} learning_rate=0.03"]
