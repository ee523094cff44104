"""Sentences that a reader must know before believing the numbers."""

import polars as pl
import pytest

from emoadapt.config import load_study
from emoadapt.reporting.notices import (
    describe_lone_runs,
    list_class_warnings,
    list_exposures,
    list_few_runs,
    list_gaps,
    list_lone_answers,
    list_mixed_versions,
    list_notices,
)
from emoadapt.reporting.weights import list_networks
from emoadapt.tasks.notes import list_class_notes


def test_notice_names_untrained_backbones(study, make_study):
    assert list_notices(study) == [
        "The backbone tiny is UNTRAINED (randomly initialised): the scores say nothing about pretrained models."
    ]
    two = make_study(backbones={name: {"architecture": "wavlm", "untrained": {}} for name in ("x", "y")},
                       **PLAIN, adaptations={})  # fmt: skip
    assert list_notices(two)[0].startswith("The backbones x and y are UNTRAINED")


def test_notice_names_demo_data_and_stand_ins_that_are_used(make_study):
    features = {"face_embedding": {"network": {"untrained": "tiny_cnn"}}, "faces": {"detector": "haar"},
                "transcript": {"engine": "pocketsphinx"}, "sentiment": {"engine": "vader"}}  # fmt: skip
    corpora = {"films": {"importer": "demo", "root": "d"}, "crema_d": {"importer": "crema_d", "root": "c", "labels": "voice"},
               "msp_improv": {"importer": "csv", "root": "i", "file": "l.csv"}}  # fmt: skip
    backbones = {"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}}
    both = {"corpora": ["films"], "objectives": {"egemaps": 1, "sentiment": 0.5, "face": 1}}
    study = make_study(features=features, corpora=corpora, backbones=backbones, adaptations={"all": both}, **PLAIN)
    text = " ".join(list_notices(study))
    assert "network for face embedding is UNTRAINED" in text
    assert "corpus films is SYNTHETIC" in text
    assert all(word in text for word in ("pocketsphinx", "VADER", "Haar"))
    speech = {"corpora": ["films"], "objectives": {"egemaps": 1}}
    unused = make_study(
        features=features, corpora=corpora, backbones=backbones, adaptations={"speech": speech}, **PLAIN
    )
    assert len(list_notices(unused)) == 1


PLAIN = {"finetunings": {"default": {}}, "report": {}}
NO_CROSS = pl.DataFrame(schema=dict.fromkeys(("task", "test_corpus", "metric"), pl.String))


def tabulate_data(*rows):
    names = ("task", "corpus", "partition", "fold", "split", "label", "speakers")
    kinds = {"fold": pl.Int64, "speakers": pl.Int64, "label": pl.String}
    rows = [row if isinstance(row[3], int) else (*row[:2], 0, *row[2:]) for row in rows]
    return pl.DataFrame([dict(zip(names, row, strict=True)) for row in rows], schema_overrides=kinds)


def tabulate_classes(*rows):
    names = ("task", "test_corpus", "backbone", "label", "n_least")
    return pl.DataFrame([dict(zip(names, row, strict=True)) for row in rows], schema=[*names], orient="row")


def test_notice_names_libraries_of_which_several_versions_made_results():
    """Symptom: the report listed the versions of its own process."""
    found = {"torch": "2.12 (adapt); 2.13 (train)", "numpy": "2.0"}
    assert list_mixed_versions(found) == [
        "Results were made with several versions of torch: 2.12 (adapt); 2.13 (train)."
    ]


def test_notice_names_the_classes_that_a_test_set_lacks(study):
    """Whether the corpus has no such clip or its only ones could not be used: what counts is what models were tested on."""
    classes = tabulate_classes(
        *(("crema", "msp_improv", model, label, 0 if label in ("sadness", "anger") else 9)
          for model in ("tiny", "wavlm") for label in ("anger", "happiness", "neutral", "sadness")),
        *(("crema", "crema_d", "tiny", label, 9) for label in ("anger", "happiness", "neutral", "sadness")),
    )  # fmt: skip
    assert list_gaps(classes, NO_CROSS, tabulate_data(("crema", "crema_d", 0, "test", None, 5)), study) == [
        "The test set of msp_improv (task crema) has NO CLIP of class anger and sadness: its scores are over all 4 classes, and "
        "these count as 0 in them."
    ]


@pytest.mark.parametrize(
    ("rows", "corpora"),
    [
        ([("crema", "crema_d", 0, "test", None, 1)], ["crema_d"]),
        ([("crema", "crema_d", 0, "test", None, 2)], []),
        # One speaker a fold, and another in each; of a corpus that every fold is tested on, the same in each.
        ([("crema", "crema_d", fold, "test", None, 1) for fold in (0, 1)], []),
        ([("crema", "msp_improv", fold, "test", None, 1) for fold in (0, 1)], ["msp_improv"]),
        ([("crema", "crema_d", 0, "dev", None, 1), ("crema", "crema_d", 0, "test", "anger", None)], []),
        ([("crema", "crema_d", 0, "test", None, 0)], []),
        # Partitions are scored alone: one that tests a single speaker is named.
        ([("crema", "crema_d", partition, 0, "test", None, 1 + partition) for partition in (0, 1)], ["crema_d"]),
    ],
)
def test_notice_names_test_sets_of_one_speaker(study, rows, corpora):
    classes = tabulate_classes(("crema", "crema_d", "tiny", "anger", 3))
    found = list_gaps(classes, NO_CROSS, tabulate_data(*rows), study)
    assert [(c in text, "has ONE SPEAKER" in text) for c, text in zip(corpora, found, strict=True)] == [
        (True, True)
    ] * len(corpora)


def test_notice_of_one_speaker_names_the_partitions(study):
    """Five random partitions, of which one tests a single speaker: the other four are not accused."""
    rows = [("crema", "crema_d", partition, 0, "test", None, 1 if partition == 4 else 2) for partition in range(5)]
    (text,) = list_gaps(
        tabulate_classes(("crema", "crema_d", "tiny", "anger", 3)), NO_CROSS, tabulate_data(*rows), study
    )
    assert text == (
        "The test set of crema_d (task crema) has ONE SPEAKER in 1 of its 5 partitions (4): its scores there say nothing "
        "about other speakers."
    )


def test_notice_names_attributes_that_a_test_set_is_not_rated_for(make_study):
    rated = make_study(
        tasks={"rated": {"corpus": "msp_improv", "attributes": ["arousal", "valence"], "split": {"by": "official"}, "test_also": ["films"]}}
    )  # fmt: skip
    cross = pl.DataFrame(
        [("rated", "films", metric) for metric in ("ccc_mean", "ccc_arousal")], NO_CROSS.schema, orient="row"
    )
    classes = tabulate_classes(("crema", "crema_d", "tiny", "anger", 3))
    data = tabulate_data(("rated", "films", 0, "test", None, 5))
    assert list_gaps(classes, cross, data, rated) == [
        "The test set of films (task rated) has NO VALUES of valence: its mean CCC is over the other attributes."
    ]


def test_networks_behind_features_that_are_wanted_for_themselves_are_named():
    """Symptom: "Weights used" was empty, and no stand-in was named."""
    study = load_study(
        {
            "study": "x",
            "corpora": {"c": {"importer": "folder", "root": "a", "modalities": ["audio", "video"]}},
            "features": {
                "also": ["face_embedding", "sentiment"],
                "faces": {"detector": "haar"},
                "face_embedding": {"network": {"untrained": "tiny_cnn"}},
                "transcript": {"engine": "pocketsphinx"},
                "sentiment": {"engine": "vader"},
            },
        }
    )
    roles = [network.role for network in list_networks(study)]
    assert roles == ["face detection", "face embedding", "speech recognition", "sentiment"]
    said = " ".join(list_notices(study))
    assert "The network for face embedding is UNTRAINED" in said
    assert all(name in said for name in ("pocketsphinx", "VADER", "Haar cascade"))


def test_notice_names_models_that_give_one_answer(study):
    """Symptom: macro-F1 of .10 stood in a table like any other."""
    base = {
        "task": "t",
        "test_corpus": "c",
        "subset": "full",
        "backbone": "tiny",
        "start": "original",
        "finetuning": "default",
    }
    rows = [
        base | {"label": label, "weights": "untrained", "n_runs": 3, "lone_runs": runs}
        for label, runs in (("anger", 0), ("joy", 2))
    ]
    assert list_lone_answers(pl.DataFrame(rows), study) == [
        "Models that give ONE CLASS as (nearly) every answer on c (task t): tiny original (all clips): joy in 2 of 3 runs. They recognise "
        "nothing there, whatever their score."
    ]
    assert list_lone_answers(pl.DataFrame(rows).with_columns(lone_runs=0), study) == []


def test_what_a_target_is_read_for_without_labels_is_not_called_train():
    """Symptom: `1 test clips of ravdess are ALSO IN TRAIN OR DEV`, of a clip that had been read without its label."""
    stage1 = pl.DataFrame(schema=dict.fromkeys(("seen_clips", "seen_speakers"), pl.Int64))
    columns = ("task", "corpus", "split", "label", "shared_clips", "shared_speakers")
    data = pl.DataFrame(
        [("t", "c", "test", None, 0, 0), ("u", "c", "test", None, 1, 1), ("v", "c", "test", None, 0, 1)],
        columns,
        orient="row",
    )
    kinds = [("t", "c", "target_clips", 1, 60), ("t", "c", "target_speakers", 5, 5), ("u", "c", "target_clips", 0, 60),
             ("u", "c", "target_speakers", 4, 5), ("v", "c", "target_speakers", 0, 5)]  # fmt: skip
    leaks = pl.DataFrame(kinds, ("task", "corpus", "kind", "count", "of"), orient="row")
    assert list_exposures(stage1, data, leaks) == [
        "1 test clip of c (task u) is ALSO IN TRAIN OR DEV: its scores are too good.",
        "1 test speaker of c (task v) is also in train or dev: its scores are not those of unseen speakers.",
        "1 of the 60 test clips of c (task t) is also in the part of this corpus that is read WITHOUT LABELS: scores there of models that read it "
        "are not those of unseen clips.",
        "4 of the 5 test speakers of c (task u) are also in the part of this corpus that is read WITHOUT LABELS: scores there of models that read "
        "it are not those of unseen speakers.",
    ]


FEW_TASKS = {
    name: {"corpus": "crema_d", "classes": ["anger", "neutral"], "split": split}
    for name, split in {"own": {"by": "official"}, "drawn": {"by": "folds", "k": 4}, "loso": {"by": "leave_one_speaker_out"}}.items()
}  # fmt: skip
SVM = {"method": "svm", "backbones": ["egemaps"]}


def tabulate_runs(*rows):
    """Rows of `results`: task, fine-tuning, training clips, runs, p-value."""
    columns = dict(task=pl.String, finetuning=pl.String, subset=pl.String, n_runs=pl.Int64, p_value=pl.Float64)
    return pl.DataFrame(rows, columns, orient="row").with_columns(n_pairs="n_runs")


def test_notice_names_tasks_with_fewer_than_three_runs(make_study):
    study = make_study(tasks=FEW_TASKS, finetunings={"default": {}, "svm": SVM}, report={})
    few = [("own", "default", "full", runs, p) for runs, p in ((5, 0.1), (2, 0.2))]
    (text,) = list_few_runs(tabulate_runs(*few, ("loso", "default", "full", 3, 0.1)), study)
    assert text == (
        "Some models have FEWER THAN 3 RUNS, on own (2 runs): how much another seed would change is hardly known, and a p-value over "
        "two runs is worth little."
    )
    (text,) = list_few_runs(
        tabulate_runs(("own", "default", "full", 1, None), ("loso", "default", "full", 1, None)), study
    )
    assert text.endswith("on own (1 run) and loso (1 run): how much another seed would change is hardly known.")


@pytest.mark.parametrize(
    ("task", "finetuning", "subset", "varied"),
    [
        ("own", "default", "full", "another seed"),
        ("own", "svm", "full", ""),
        ("loso", "svm", "full", ""),
        ("loso", "svm", "64", "another draw of the training clips"),
        ("drawn", "svm", "full", "another division of the clips"),
        ("drawn", "default", "full", "another seed or another division of the clips"),
        ("drawn", "default", "64", "another seed, another draw of the training clips or another division of the clips"),
    ],
)
def test_head_and_bullet_agree_on_what_a_single_run_leaves_open(make_study, task, finetuning, subset, varied):
    """Symptom: no warning stood above a deterministic classifier on one drawn division, and far below a bullet doubted its score."""
    study = make_study(tasks=FEW_TASKS, finetunings={"default": {}, "svm": SVM}, report={})
    rows = tabulate_runs((task, finetuning, subset, 1, None))
    warned, said = list_few_runs(rows, study), describe_lone_runs(rows, study)
    if varied:
        assert f"on {task} (1 run): how much {varied} would change is hardly known." in warned[0]
        assert said == f"Each score is that of one run: how much {varied} would change is not known."
    else:
        assert warned == [] and "A second run would be the same" in said
    several = rows.with_columns(n_runs=3)
    assert list_few_runs(several, study) == [] and describe_lone_runs(several, study) == ""


def test_what_check_says_of_classes_stands_at_the_head_of_the_report(make_study):
    """Symptom: of URDU's neutral clips one speaker has 72 %, which the report did not say."""
    study = make_study(report={})
    rows = [
        {
            "utterance_id": str(i),
            "corpus": "crema_d",
            "speaker": speaker,
            "label": label,
            "split": part,
            "partition": 0,
            "fold": fold,
        }
        for i, (speaker, label) in enumerate(
            [("a", "anger"), ("b", "anger"), ("a", "neutral"), ("a", "neutral"), ("c", "neutral")]
        )
        for fold in range(2)
        for part in (("test" if (i < 2) == (fold == 0) else "train"),)
    ]
    splits = pl.DataFrame(rows)
    found = list_class_warnings(study, {"crema": splits})
    assert found == [f"Task crema (crema_d): {note}." for note in list_class_notes(study.tasks["crema"], splits)]
    assert found[0] == "Task crema (crema_d): 2 of 3 clips of neutral are of speaker a: a model may learn the voice."
    assert found[1].startswith(
        "Task crema (crema_d): the test part has no clip of some class in 2 of 2 folds (fold 0: happiness, neutral, sadness, fold 1: "
        "anger, happiness, sadness); fold 0, fold 1 test one class only: folds are scored together"
    )


def test_notice_says_that_attributes_were_derived(make_study):
    corpora = {"films": {"importer": "demo", "root": "d", "attributes": "derived"},
               "other": {"importer": "csv", "root": "x", "file": "l.csv"}}  # fmt: skip
    tasks = {"rated": {"corpus": "films", "attributes": ["arousal"], "split": {"by": "fractions"}}}
    plain = {
        "backbones": {"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}},
        "adaptations": {},
        **PLAIN,
    }
    said = [text for text in list_notices(make_study(corpora=corpora, tasks=tasks, **plain)) if "DERIVED" in text]
    assert said[0].startswith(
        "The attributes of the corpus films are DERIVED from the emotion of each clip by the means of Russell"
    )
    classes = {"named": {"corpus": "films", "classes": ["anger", "sadness"], "split": {"by": "fractions"}}}
    assert not any("DERIVED" in text for text in list_notices(make_study(corpora=corpora, tasks=classes, **plain)))


@pytest.mark.parametrize(
    ("detector", "cheek", "said"),
    [
        ("mediapipe", "squint_in_smile", "is a STAND-IN"),
        ("mediapipe", "cheekSquint", "is NEVER DETECTED"),
        ("openface_csv", "squint_in_smile", None),
    ],
)
def test_notice_names_the_action_unit_that_another_measure_stands_for(detector, cheek, said):
    features = {"also": ["action_units"], "landmarks": {"detector": detector}, "action_units": {"cheek_raiser": cheek}}
    corpora = {"c": {"importer": "folder", "root": "a", "modalities": ["audio", "video"]}}
    found = [
        text
        for text in list_notices(load_study({"study": "x", "corpora": corpora, "features": features}))
        if "AU6" in text
    ]
    assert len(found) == (said is not None) and all(said in text for text in found)


@pytest.mark.parametrize(
    ("keys", "said"), [({}, True), ({"colour": "bgr", "mean": [0.5] * 3, "std": [0.5] * 3}, False)]
)
def test_notice_names_what_is_assumed_of_a_network(make_study, keys, said):
    """Symptom: vectors of a network that got another input than it was trained with stood in the report without a word."""
    features = {"also": ["face_embedding"], "face_embedding": {"network": {"file": "my.onnx", **keys}}}
    corpora = {"c": {"importer": "folder", "root": "a", "modalities": ["audio", "video"]}}
    notices = list_notices(load_study({"study": "x", "corpora": corpora, "features": features}))
    sentence = "face embedding (my.onnx) was given the colour order RGB and ImageNet's mean and standard deviation, which are ASSUMED"
    assert any(sentence in text for text in notices) == any("ASSUMED" in text for text in notices) == said
