from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.config import Task
from emoadapt.corpora import read_utterances
from emoadapt.errors import CorpusError, DataError
from emoadapt.tasks.classes import map_labels, share_votes
from emoadapt.tasks.splits import assign_splits, build_task, check_splits

CLASSES = ("anger", "neutral")
VOTES = pl.DataFrame(schema.LABELS.empty_table()).schema["soft"]


def task(split, **values):
    return Task.model_validate({"corpus": "c", "classes": CLASSES, "split": split, **values})


def make_table(clips, splits=None, corpus="c"):
    """Rows for {speaker: clips}, classes alternating, official split by speaker."""
    rows = [
        {
            "utterance_id": f"{corpus}/{speaker}_{i}",
            "corpus": corpus,
            "speaker": speaker,
            "sex": "female",
            "label": CLASSES[i % 2],
            "split": (splits or {}).get(speaker),
            "soft": None,
        }
        for speaker, n in clips.items()
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema_overrides={"split": pl.String, "speaker": pl.String, "soft": VOTES})


def assign(table, **split):
    return assign_splits(table, task(split).split)


def parts(splits, fold=0):
    """{part: set of speakers} of a fold."""
    rows = splits.filter(pl.col("fold") == fold)
    return {part: set(group["speaker"]) for (part,), group in rows.partition_by("split", as_dict=True).items()}


def all_in_one_part(splits):
    """Whether every speaker is in a single part of each fold."""
    return splits.group_by("fold", "speaker").agg(pl.col("split").n_unique())["split"].max() == 1


TEN = {f"s{i}": 10 for i in range(10)}


def test_result_has_the_columns_of_the_schema():
    splits = assign(make_table(TEN), by="fractions")
    assert splits.to_arrow().cast(schema.SPLITS).schema.names == schema.SPLITS.names
    assert splits.schema == pl.DataFrame(schema.SPLITS.empty_table()).schema


@pytest.mark.parametrize("seed", range(25))
def test_fractions_are_disjoint_whole_and_near(seed):
    rng = np.random.default_rng(seed)
    clips = {f"s{i:02d}": int(n) for i, n in enumerate(rng.integers(1, 60, size=30))}
    splits = assign(make_table(clips), by="fractions", seed=seed)
    assert len(splits) == sum(clips.values())
    assert splits["utterance_id"].is_unique().all()
    assert all_in_one_part(splits)
    shares = splits["split"].value_counts().with_columns(pl.col("count") / len(splits))
    for part, wanted in (("train", 0.70), ("dev", 0.15), ("test", 0.15)):
        assert shares.filter(split=part)["count"][0] == pytest.approx(wanted, abs=0.01)


def test_one_loud_speaker_leaves_no_part_empty():
    for seed in range(20):
        splits = assign(make_table({"loud": 100, "a": 1, "b": 1}), by="fractions", seed=seed)
        assert {part: len(speakers) for part, speakers in parts(splits).items()} == {"train": 1, "dev": 1, "test": 1}


def test_fractions_follow_the_seed_and_not_the_order_of_rows():
    table = make_table(TEN)
    first = assign(table, by="fractions", seed=1)
    assert first.equals(assign(table.sample(fraction=1, shuffle=True, seed=3), by="fractions", seed=1))
    assert len({frozenset(parts(assign(table, by="fractions", seed=seed))["test"]) for seed in range(20)}) > 5


@pytest.mark.parametrize(("k", "seed"), [(3, 0), (5, 0), (5, 1), (5, 2), (10, 7)])
def test_folds_test_everybody_once(k, seed):
    splits = assign(make_table(TEN), by="folds", k=k, seed=seed)
    assert splits["fold"].unique().sort().to_list() == list(range(k))
    assert all_in_one_part(splits)
    tested = splits.filter(split="test")
    assert sorted(tested["utterance_id"]) == sorted(make_table(TEN)["utterance_id"])
    for fold in range(k):
        assert parts(splits, fold)["dev"] == parts(splits, (fold + 1) % k)["test"]
    sizes = tested.group_by("fold").len()["len"]
    assert sizes.max() - sizes.min() <= 10


def test_folds_balance_unequal_speakers():
    # By hand: 9+1, 8+2, 7+3 fill three parts with ten each.
    splits = assign(make_table(dict(zip("abcdef", (9, 8, 7, 3, 2, 1), strict=True))), by="folds", k=3)
    assert splits.filter(split="test").group_by("fold").len()["len"].to_list() == [10, 10, 10]


def test_leave_one_speaker_out_develops_on_the_next():
    splits = assign(make_table({"a": 2, "c": 2, "b": 2, "d": 2}), by="leave_one_speaker_out")
    assert [parts(splits, fold) for fold in range(4)] == [
        {"test": {"a"}, "dev": {"b"}, "train": {"c", "d"}},
        {"test": {"b"}, "dev": {"c"}, "train": {"a", "d"}},
        {"test": {"c"}, "dev": {"d"}, "train": {"a", "b"}},
        {"test": {"d"}, "dev": {"a"}, "train": {"b", "c"}},
    ]


def test_leave_one_part_out_keeps_both_speakers_of_a_session_together():
    sessions = {"F1": "session1", "M1": "session1", "F2": "session2", "M2": "session2", "F3": "session3"}
    splits = assign(make_table(dict.fromkeys(sessions, 2), sessions), by="leave_one_part_out")
    assert [parts(splits, fold) for fold in range(3)] == [
        {"test": {"F1", "M1"}, "dev": {"F2", "M2"}, "train": {"F3"}},
        {"test": {"F2", "M2"}, "dev": {"F3"}, "train": {"F1", "M1"}},
        {"test": {"F3"}, "dev": {"F1", "M1"}, "train": {"F2", "M2"}},
    ]
    with pytest.raises(
        CorpusError, match=r"corpus c: 2 official parts \(session1, session3\) cannot be train, dev and test"
    ):
        assign(make_table({"F1": 2, "F3": 2}, sessions), by="leave_one_part_out")
    with pytest.raises(CorpusError, match=r"2 labelled clips belong to no official part: c/X_0, c/X_1"):
        assign(make_table({"F1": 2, "X": 2}, sessions), by="leave_one_part_out")


def test_named_speakers_with_and_without_train():
    table = make_table({"a": 2, "b": 2, "c": 2, "d": 2})
    assert parts(assign(table, by="speakers", dev=["b"], test=["a"])) == {
        "dev": {"b"},
        "test": {"a"},
        "train": {"c", "d"},
    }
    named = assign(table, by="speakers", train=["d"], dev=["b"], test=["a"])
    assert parts(named) == {"dev": {"b"}, "test": {"a"}, "train": {"d"}}


def test_named_speakers_must_exist_and_be_named_once():
    table = make_table({"a": 2, "b": 2, "c": 2})
    with pytest.raises(CorpusError, match=r"no labelled clip of speaker z \(split\.dev\); there are a, b, c"):
        assign(table, by="speakers", dev=["z"], test=["a"])
    with pytest.raises(CorpusError, match=r"more than one part names speaker a \(split\.dev, split\.test\)"):
        assign(table, by="speakers", dev=["a"], test=["a"])
    with pytest.raises(CorpusError, match=r"no labelled clip of speaker B \(split\.test\); is b meant\?"):
        assign(table, by="speakers", dev=["a"], test=["B"])


def test_errors_of_a_split_name_the_task():
    manifest, labels = as_tables(make_table({"a": 4}))
    with pytest.raises(
        CorpusError, match=r"task t, corpus c: split\.by: fractions needs at least 3 speakers .*there is 1 \(a\)"
    ):
        build_task("t", task({"by": "fractions"}), {"c": manifest}, {"c": labels})


@pytest.mark.parametrize(
    "split",
    [
        {"by": "fractions"},
        {"by": "folds", "k": 3},
        {"by": "leave_one_speaker_out"},
        {"by": "speakers", "dev": ["s1"], "test": ["s2"]},
    ],
)
def test_unknown_speakers_are_refused_where_speakers_count(split):
    table = make_table(TEN).with_columns(
        speaker=pl.when(pl.col("utterance_id").is_in(["c/s3_4", "c/s3_5"])).then(None).otherwise(pl.col("speaker"))
    )
    with pytest.raises(CorpusError, match=rf"split by {split['by']} needs .* 2 labelled clips .* c/s3_4, c/s3_5; give"):
        assign(table, **split)


@pytest.mark.parametrize("split", [{"by": "fractions"}, {"by": "folds", "k": 3}, {"by": "leave_one_speaker_out"}])
def test_too_few_speakers_are_refused(split):
    with pytest.raises(
        CorpusError, match=rf"corpus c: split\.by: {split['by']} needs at least 3 speakers .*; there are 2 \(a, b\)"
    ):
        assign(make_table({"a": 5, "b": 5}), **split)


def test_official_names_are_understood_and_other_parts_left_out():
    official = {"a": "Train", "b": "Development", "c": "Test1", "d": "Test2"}
    table = make_table(dict.fromkeys("abcd", 2), official)
    assert parts(assign(table, by="official")) == {"train": {"a"}, "dev": {"b"}, "test": {"c"}}
    assert parts(assign(table, by="official", test=["test2"]))["test"] == {"d"}


def test_official_partition_has_to_be_there():
    with pytest.raises(CorpusError, match=r"corpus c: 2 labelled clips belong to no official part: c/b_0, c/b_1"):
        assign(make_table({"a": 2, "b": 2}, {"a": "train"}), by="official")
    with pytest.raises(CorpusError, match=r"official parts are fold1, train; none of them is called like dev, test"):
        assign(make_table({"a": 2, "b": 2}, {"a": "train", "b": "fold1"}), by="official")


def test_empty_parts_and_absent_classes_are_refused():
    splits = assign(make_table(dict.fromkeys("abc", 2), {"a": "train", "b": "dev", "c": "test"}), by="official")
    with pytest.raises(CorpusError, match=r"task t, fold 0: dev is empty; correct tasks\.t\.split"):
        check_splits("t", splits.filter(pl.col("split") != "dev"), CLASSES)
    with pytest.raises(CorpusError, match=r"task t, fold 0: train is empty"):
        check_splits("t", splits.clear(), CLASSES)
    with pytest.raises(CorpusError, match=r"task t, fold 0: no training clip of class fear, disgust; take"):
        check_splits("t", splits, (*CLASSES, "fear", "disgust"))


LABELS = pl.DataFrame({"utterance_id": ["c/1", "c/2", "c/3", "c/4"], "label": ["anger", "calm", None, "fear"]})
OFFICIAL = {"by": "official"}


def test_labels_are_mapped_and_missing_ones_left_out():
    mapped = map_labels("t", task(OFFICIAL, class_map={"calm": "neutral", "fear": "anger"}), LABELS, "c")
    assert mapped.sort("utterance_id").rows() == [("c/1", "anger"), ("c/2", "neutral"), ("c/4", "anger")]


def test_labels_outside_the_classes_are_named_or_dropped():
    with pytest.raises(CorpusError, match=r"none of its classes \(anger, neutral\): calm 1, fear 1; map them"):
        map_labels("t", task(OFFICIAL), LABELS, "c")
    assert map_labels("t", task(OFFICIAL, other_labels="drop"), LABELS, "c").rows() == [("c/1", "anger")]
    assert map_labels("t", task(OFFICIAL, test_also=["d"]), LABELS, "d").rows() == [("c/1", "anger")]


def test_corpus_without_a_usable_label_is_refused():
    with pytest.raises(CorpusError, match=r"task t: corpus c has no labels"):
        map_labels("t", task(OFFICIAL), LABELS.with_columns(label=pl.lit(None, pl.String)), "c")
    with pytest.raises(
        CorpusError, match=r"none of the labels of corpus d \(fear 1\) is one of the classes anger, neutral"
    ):
        map_labels("t", task(OFFICIAL), LABELS.filter(label="fear"), "d")


def test_votes_become_shares_of_the_classes():
    def vote(**weights):
        return [{"label": label, "weight": weight} for label, weight in weights.items()]

    labels = pl.DataFrame(
        {"utterance_id": ["c/1", "c/2", "c/3", "c/4"],
         "soft": [vote(calm=0.2, neutral=0.1, anger=0.3, fear=0.4), vote(fear=1.0), None, vote(anger=1.0)]},
        schema_overrides={"soft": VOTES},
    )  # fmt: skip
    shares = dict(share_votes(task(OFFICIAL, class_map={"calm": "neutral"}), labels).iter_rows())
    assert shares == {"c/1": pytest.approx([0.5, 0.5]), "c/4": [1.0, 0.0]}


def test_shares_go_with_their_clips():
    manifest, labels = as_tables(make_table({"a": 4, "b": 4, "c": 4}))
    soft = pl.Series(
        [[{"label": "anger", "weight": 0.75}, {"label": "neutral", "weight": 0.25}]] + [None] * 11, dtype=VOTES
    )
    splits = build_task("t", task({"by": "folds", "k": 3}), {"c": manifest}, {"c": labels.with_columns(soft=soft)})
    voted = splits.filter(pl.col("soft").is_not_null())
    assert voted.select("utterance_id", "soft").rows() == [(labels["utterance_id"][0], [0.75, 0.25])] * 3


def as_tables(table):
    """(MANIFEST-like, LABELS-like) frames of `make_table` rows; every clip is a recording of its own."""
    manifest = table.select(
        "utterance_id", "speaker", "sex", "split", pl.lit(None, pl.Float64).alias("start"),
        pl.lit(None, pl.Float64).alias("end"), pl.col("utterance_id").alias("fingerprint"),
    )  # fmt: skip
    return manifest, table.select("utterance_id", "label", "soft")


def test_build_task_repeats_other_corpora_as_test_rows_of_every_fold():
    manifest, labels = as_tables(make_table({"a": 4, "b": 4, "c": 4}))
    other = make_table({"a": 2, "z": 1}, corpus="d").with_columns(label=pl.Series(["Wut", "surprise", "neutral"]))
    other_manifest, other_labels = as_tables(other)
    config = task({"by": "leave_one_speaker_out"}, test_also=["d"], class_map={"Wut": "anger"})
    splits = build_task("t", config, {"c": manifest, "d": other_manifest}, {"c": labels, "d": other_labels})
    assert splits.schema == pl.DataFrame(schema.SPLITS.empty_table()).schema
    assert splits.group_by("fold", "corpus").len().sort("fold", "corpus")["len"].to_list() == [12, 2] * 3
    foreign = splits.filter(corpus="d")
    assert set(foreign["split"]) == {"test"}
    assert foreign.filter(fold=1).select("utterance_id", "speaker", "label").rows() == [
        ("d/a_0", "a", "anger"),
        ("d/z_0", "z", "neutral"),
    ]
    assert splits.select("fold", "utterance_id").rows() == sorted(splits.select("fold", "utterance_id").rows())


def test_build_task_refuses_labels_without_a_manifest_row():
    manifest, labels = as_tables(make_table({"a": 4, "b": 4, "c": 4}))
    with pytest.raises(DataError, match=r"without a row in its manifest: c/a_0; delete results/labels/c\.parquet"):
        build_task("t", task({"by": "fractions"}), {"c": manifest[1:]}, {"c": labels})


def test_real_ravdess_splits_70_15_15(real_data):
    from emoadapt.config import RavdessCorpus
    from emoadapt.corpora.manifests import list_label_rows

    config = RavdessCorpus(importer="ravdess", root=str(real_data / "ravdess"))
    manifest = pl.DataFrame(read_utterances("c", config)).with_columns(fingerprint=pl.col("media"))
    table = pa.Table.from_pylist(list_label_rows("c", config), schema=schema.LABELS)
    labels = pl.from_arrow(table)
    four = ("anger", "happiness", "neutral", "sadness")
    config = task({"by": "fractions"}, classes=four, class_map={"calm": "neutral"}, other_labels="drop")
    splits = build_task("t", config, {"c": manifest}, {"c": labels})
    # 24 speakers of 36 clips each: 17, 4 and 3 (or 3 and 4) are nearest to 16.8, 3.6, 3.6.
    assert len(splits) == 24 * 36
    speakers = {part: len(names) for part, names in parts(splits).items()}
    assert speakers["train"] == 17
    assert sorted((speakers["dev"], speakers["test"])) == [3, 4]
    assert Counter(splits["label"]) == {"neutral": 288, "anger": 192, "happiness": 192, "sadness": 192}
