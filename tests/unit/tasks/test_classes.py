"""Labels that become classes, labels that are left out, and test sets that lack a class."""

from __future__ import annotations

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import Task
from emoadapt.errors import CorpusError
from emoadapt.listing.emotions import suggest_class
from emoadapt.tasks.classes import count_labels, describe_labels, find_missing_classes, map_labels
from emoadapt.tasks.left_out import describe_left_out
from emoadapt.tasks.notes import describe_confounded, list_label_notes, list_task_notes
from emoadapt.tasks.splits import build_task

FOUR = ("anger", "happiness", "neutral", "sadness")
SPLIT = {"by": "speakers", "dev": ["s2", "s3"], "test": ["s6", "s7"]}


def make_task(split=SPLIT, **values):
    return Task.model_validate({"corpus": "c", "classes": FOUR, "split": split, **values})


def make_tables(corpus, clips):
    """(MANIFEST, LABELS) rows of (speaker, label, official part) triples."""
    ids = [f"{corpus}/{number:02d}" for number in range(len(clips))]
    manifest = {
        "utterance_id": ids,
        "media": ids,
        "speaker": [speaker for speaker, _, _ in clips],
        "split": [part for _, _, part in clips],
    }
    labels = {"utterance_id": ids, "label": [label for _, label, _ in clips]}
    tables = []
    for values, kind in ((manifest, schema.MANIFEST), (labels, schema.LABELS)):
        empty = pl.DataFrame(kind.empty_table())
        tables.append(pl.concat([empty, pl.DataFrame(values, schema_overrides=empty.schema)], how="diagonal"))
    return tables


def build(task, **corpora):
    """SPLITS rows, and what `build_task` got."""
    tables = {name: make_tables(name, clips) for name, clips in corpora.items()}
    manifests, labels = ({name: pair[place] for name, pair in tables.items()} for place in (0, 1))
    return build_task("k", task, manifests, labels), manifests, labels


EVEN = [(f"s{number // 2}", FOUR[number % 4], None) for number in range(16)]
HAPPY = [(f"p{number}", ("anger", "happy", "neutral", "sadness", "calm")[number % 5], None) for number in range(10)]


def test_test_set_with_other_words_for_a_class_is_refused_with_the_map_that_helps():
    with pytest.raises(CorpusError) as error:
        build(make_task(test_also=["other"]), c=EVEN, other=HAPPY)
    labels = "anger 2, calm 2, happy 2, neutral 2, sadness 2"
    assert f"task k: no clip of corpus other has the label happiness; its labels are {labels}; set" in str(error.value)
    assert "set tasks.k.class_map: {happy: happiness}." in str(error.value)
    assert "tasks.k.missing_classes: report" in str(error.value)
    splits, *_ = build(make_task(test_also=["other"], class_map={"happy": "happiness"}), c=EVEN, other=HAPPY)
    assert splits.filter(corpus="other", label="happiness").height == 2


def test_missing_class_is_accepted_where_it_is_reported():
    task = make_task(test_also=["other"], missing_classes="report")
    splits, *_ = build(task, c=EVEN, other=HAPPY)
    assert find_missing_classes(task, splits) == {"other": ["happiness"]}


def test_own_test_part_without_a_class_is_refused():
    clips = [(f"s{number // 2}", "anger" if number == 0 else "neutral", None) for number in range(16)]
    task = make_task(classes=("anger", "neutral"))
    with pytest.raises(
        CorpusError, match=r"no test clip of corpus c is of class anger; choose another tasks\.k\.split"
    ):
        build(task, c=clips)


def test_all_classes_that_no_clip_has_are_named():
    task = make_task(classes=("anger", "happiness", "neutral", "sadness", "fear", "disgust"))
    with pytest.raises(
        CorpusError, match=r"no clip of corpus c has one of the labels fear, disgust; its labels are anger"
    ):
        build(task, c=EVEN)


@pytest.mark.parametrize("split", [{"by": "leave_one_speaker_out"}, {"by": "folds", "k": 4}])
def test_only_the_test_parts_of_all_folds_together_need_every_class(split):
    """Each speaker has two of four classes, so that every fold of one speaker lacks two; the pooled test set lacks none."""
    splits, *_ = build(make_task(split), c=EVEN)
    assert splits.filter(split="test")["label"].n_unique() == 4
    if split["by"] == "leave_one_speaker_out":
        assert splits.filter(split="test", fold=0)["label"].n_unique() == 2


def test_unmapped_labels_are_refused_with_counts_and_not_with_clips():
    clips = [*EVEN, *[("s0", "Happiness", None)] * 3, *[("s1", "calm", None)] * 12]
    with pytest.raises(CorpusError) as error:
        build(make_task(), c=clips)
    assert "none of its classes (anger, happiness, neutral, sadness): calm 12, Happiness 3;" in str(error.value)
    assert "set tasks.k.class_map: {Happiness: happiness}" in str(error.value)
    assert "c/1" not in str(error.value)


def test_dropped_labels_are_named_with_counts_and_near_misses_with_a_map():
    labels = pl.DataFrame({"label": ["Anger", "Anger", "calm", "anger", None, "sad"]})
    task = make_task(other_labels="drop", class_map={"wut": "anger"})
    line, note = describe_labels("k", task, labels, "c")
    assert line == (
        "task k, labels of c: anger 1, happiness 0, neutral 0, sadness 0; dropped: Anger 2, calm 1, sad 1; without a label: 1"
    )
    assert note.endswith("set tasks.k.class_map: {wut: anger, Anger: anger, sad: sadness}")
    assert count_labels(task, labels).outside == {"Anger": 2, "calm": 1, "sad": 1}


def test_map_is_written_as_yaml_reads_it():
    labels = pl.DataFrame({"utterance_id": ["c/0"], "label": ["Ja, no"]})
    task = Task.model_validate({"corpus": "c", "classes": ["no", "ja, no"], "split": {"by": "official"}})
    with pytest.raises(CorpusError, match=r'class_map: \{"Ja, no": "ja, no"\}'):
        map_labels("k", task, labels, "c")


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("happy", "happiness"),
        ("Joy", "happiness"),
        ("HAPPINESS", "happiness"),
        ("hapiness", "happiness"),
        ("hap", "happiness"),
        ("neu", "neutral"),
        ("sad", "sadness"),
        ("calm", None),
        ("unhappiness", None),
        ("excited", None),
        ("a", None),
        ("nan", None),
    ],
)
def test_class_that_a_label_seems_to_mean(label, meant):
    assert suggest_class(label, FOUR) == meant


def test_class_in_a_corpus_s_own_word_is_suggested_for_ours():
    assert suggest_class("happiness", ("ang", "happy")) == "happy"


def test_part_that_is_named_nowhere_is_noted_with_its_clips():
    parts = ["Train"] * 8 + ["dev"] * 4 + ["Test"] * 3 + ["tset"]
    clips = [(f"s{number // 2}", ("anger", "neutral")[number % 2], part) for number, part in enumerate(parts)]
    task = make_task({"by": "official"}, classes=("anger", "neutral"))
    _, manifests, labels = build(task, c=clips)
    (note,) = list_label_notes("k", task, manifests, labels)
    assert note == (
        "labelled clips of parts that tasks.k.split does not name are left out: tset 1; is test meant by tset?"
    )
    assert describe_left_out(task, manifests, labels) == "c: part tset 1"


@pytest.mark.parametrize(
    "split",
    [
        {"by": "fractions", "train": 0.5, "dev": 0.25, "test": 0.25},
        {"by": "folds", "k": 4},
        {"by": "leave_one_speaker_out"},
        {"by": "leave_one_part_out"},
    ],
)
def test_splits_that_name_no_part_leave_none_out(split):
    """Symptom: a share of the clips was taken for a list of names, and every dry run of the demo ended with a TypeError."""
    clips = [(f"s{number // 2}", ("anger", "neutral")[number % 2], f"p{number // 4}") for number in range(16)]
    task = make_task(split, classes=("anger", "neutral"))
    _, manifests, labels = build(task, c=clips)
    assert list_label_notes("k", task, manifests, labels) == []
    assert describe_left_out(task, manifests, labels) == "none"


def test_parts_in_two_cases_are_noted_where_they_count_as_different():
    parts = ["Train"] * 4 + ["train"] * 4 + ["dev"] * 4 + ["test"] * 4
    clips = [(f"s{number}", ("anger", "neutral")[number % 2], part) for number, part in enumerate(parts)]
    official, folds = (make_task({"by": by}, classes=("anger", "neutral")) for by in ("official", "leave_one_part_out"))
    _, manifests, labels = build(official, c=clips)
    assert list_label_notes("k", official, manifests, labels) == []
    (note,) = list_label_notes("k", folds, manifests, labels)
    assert note.startswith(
        "official parts that differ by case alone count as different official parts (Train 4, train 4)"
    )


def test_key_of_the_map_that_no_label_has_is_noted():
    task = make_task(class_map={"hapy": "happiness", "Wutt": "anger"}, test_also=["other"], missing_classes="report")
    _, manifests, labels = build(task, c=EVEN, other=HAPPY)
    assert list_label_notes("k", task, manifests, labels) == [
        "tasks.k.class_map: Wutt maps no label of c, other",
        "tasks.k.class_map: hapy maps no label of c, other; is happy meant?",
    ]


def test_key_of_the_map_that_only_votes_have_is_used():
    task = make_task(class_map={"joy": "happiness"})
    _, manifests, labels = build(task, c=EVEN)
    votes = [[{"label": "joy", "weight": 1.0}]] + [None] * (len(EVEN) - 1)
    labels["c"] = labels["c"].with_columns(soft=pl.Series(votes, dtype=labels["c"].schema["soft"]))
    assert list_label_notes("k", task, manifests, labels) == []


def test_speakers_that_are_named_nowhere_are_noted():
    task = make_task({**SPLIT, "train": ["s0", "s1", "s4"]})
    _, manifests, labels = build(task, c=EVEN)
    (note,) = list_label_notes("k", task, manifests, labels)
    assert "speakers that tasks.k.split does not name are left out: s5 2" in note


def test_left_out_clips_are_counted_by_reason():
    task = make_task(test_also=["other"], class_map={"happy": "happiness"}, other_labels="drop")
    _, manifests, labels = build(task, c=[*EVEN, ("s0", None, None), ("s0", "fear", None)], other=HAPPY)
    expected = "c: label fear 1; without a label 1. other: label calm 2"
    assert describe_left_out(task, manifests, labels) == expected


def test_one_test_speaker_is_noted():
    task = make_task({"by": "speakers", "dev": ["s2", "s3"], "test": ["s7"]}, classes=("neutral", "sadness"))
    clips = [(f"s{number // 2}", ("neutral", "sadness")[number % 2], None) for number in range(16)]
    splits, *_ = build(task, c=clips)
    (note,) = list_task_notes("k", task, splits, ["default"])
    assert note.startswith("the test set of c has one speaker (s7): its scores say nothing about other speakers")
    lone = [{"dev": ["s2", "s3"], "test": [speaker]} for speaker in ("s7", "s6")]
    two = make_task(
        {"by": "speakers", "partitions": [*lone, {"dev": ["s2"], "test": ["s0", "s1"]}]}, classes=("neutral", "sadness")
    )
    splits, *_ = build(two, c=clips)
    (note,) = list_task_notes("k", two, splits, ["default"])
    assert note.startswith("in 2 of 3 partitions the test set of c has one speaker (0: s7, 1: s6)")
    everyone = make_task({"by": "leave_one_speaker_out"}, classes=("neutral", "sadness"))
    splits, *_ = build(everyone, c=clips)
    assert list_task_notes("k", everyone, splits, ["default"]) == []


def test_one_known_test_speaker_among_unknown_ones_is_noted():
    parts = ["train"] * 4 + ["dev"] * 4 + ["test"] * 4
    who = ["s0", "s0", "s1", "s1", "s2", "s2", "s2", "s2", "s3", "s3", None, None]
    clips = [(who[number], ("anger", "neutral")[number % 2], part) for number, part in enumerate(parts)]
    task = make_task({"by": "official"}, classes=("anger", "neutral"))
    splits, *_ = build(task, c=clips)
    (note,) = list_task_notes("k", task, splits, ["default"])
    assert note == "the test set of c has one known speaker (s3), and 2 clips of unknown speakers"


def test_development_part_without_a_class_is_noted():
    task = make_task({"by": "speakers", "dev": ["s2"], "test": ["s6", "s7"]})
    splits, *_ = build(task, c=EVEN)
    (note,) = list_task_notes("k", task, splits, ["default"])
    assert note == "dev has no clip of class neutral, sadness: default chooses epoch or settings without it"
    assert list_task_notes("k", task, splits, []) == [], "nothing is chosen on dev"
    folds = make_task({"by": "leave_one_speaker_out"})
    splits, *_ = build(folds, c=EVEN)
    note, tested = list_task_notes("k", folds, splits, ["default", "probe"])
    assert note.endswith(": default and probe choose epoch or settings without it")
    assert tested.startswith("the test part has no clip of some class in 8 of 8 folds (fold 0: ")
    assert note.startswith(
        "dev has no clip of some class in 8 of 8 folds (fold 0: anger, happiness, fold 1: neutral, sadness"
    )


def test_a_class_that_is_mostly_of_one_speaker_is_noted() -> None:
    """Symptom: `check` was silent on URDU, of whose neutral clips one speaker has 72 %."""
    others = [("joy", speaker) for speaker in "abc" for _ in range(2)]
    lone = [*others, *[("calm", "a")] * 3, ("calm", "b"), (None, "a")]
    assert describe_confounded(lone) == ["3 of 4 clips of calm are of speaker a: a model may learn the voice"]
    assert describe_confounded([*lone, ("calm", None), ("calm", None)]) == [], "half of the clips, not more"
    assert describe_confounded([("joy", "b"), ("calm", "a")]) == [], "of two speakers one has most of each class"
