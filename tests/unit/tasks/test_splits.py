from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.config import Task
from emoadapt.errors import CorpusError, DataError
from emoadapt.listing.reading import read_utterances
from emoadapt.listing.speakers import deal_speakers, group_speakers
from emoadapt.tasks.classes import map_labels, share_votes
from emoadapt.tasks.left_out import describe_left_out
from emoadapt.tasks.notes import find_repeated_partitions, list_label_notes, list_task_notes
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
    with pytest.raises(CorpusError, match=r"official parts are fold1, train; none has one of the names dev, test"):
        assign(make_table({"a": 2, "b": 2}, {"a": "train", "b": "fold1"}), by="official")


def test_empty_parts_and_absent_classes_are_refused():
    splits = assign(make_table(dict.fromkeys("abc", 2), {"a": "train", "b": "dev", "c": "test"}), by="official")
    with pytest.raises(CorpusError, match=r"task t, fold 0: dev is empty; correct tasks\.t\.split"):
        check_splits("t", splits.filter(pl.col("split") != "dev"), CLASSES)
    with pytest.raises(CorpusError, match=r"task t, fold 0: train is empty"):
        check_splits("t", splits.clear(), CLASSES)
    with pytest.raises(CorpusError, match=r"task t, fold 0: no training clip of class fear, disgust; take"):
        check_splits("t", splits, (*CLASSES, "fear", "disgust"))


@pytest.mark.parametrize(
    ("split", "shares"),
    [
        ({"by": "fractions", "seed": 7}, (0.70, 0.15, 0.15)),
        ({"by": "folds", "k": 4, "seed": 7}, (0.25,) * 4),
        ({"by": "all", "seed": 7}, (0.85, 0.15)),
    ],
)
def test_each_partition_is_drawn_from_the_seed_and_its_number(split, shares):
    table, config = make_table(TEN), task(split, test_also=["d"]).split
    once, thrice = assign_splits(table, config), assign_splits(table, config, 3)
    assert thrice.filter(partition=0).equals(once), "more partitions leave the first as it is"
    assert thrice.filter(pl.col("partition") < 2).equals(assign_splits(table, config, 2))
    assert thrice.select("partition", "fold", "utterance_id").rows() == sorted(
        thrice.select("partition", "fold", "utterance_id").rows()
    )
    last = "dev" if config.by == "all" else "test"
    before: list[list[list[str]]] = []
    for partition in range(3):
        rows = thrice.filter(partition=partition)
        assert all_in_one_part(rows)
        rng = np.random.default_rng((7, partition) if partition else 7)
        dealt = (deal_speakers(TEN, shares, rng) for _ in range(10))
        groups = next(g for g in dealt if sorted(g) not in before) if partition else group_speakers(TEN, shares, rng)
        before.append(sorted(groups))
        assert parts(rows, rows["fold"].max())[last] == set(groups[-1])


@pytest.mark.parametrize("split", [{"by": "fractions"}, {"by": "folds", "k": 3}, {"by": "all"}])
def test_no_two_drawn_partitions_are_the_same(split):
    """Symptom: of five partitions of EmoDB's ten speakers two differed, and p-values counted all five."""
    sizes = {"03": 49, "08": 58, "09": 43, "10": 38, "11": 55, "12": 35, "13": 61, "14": 69, "15": 56, "16": 71}
    splits = assign_splits(make_table(sizes), task(split, test_also=["d"]).split, 20)
    found = {
        frozenset(map(frozenset, rows.group_by("fold", "split").agg("speaker")["speaker"].to_list()))
        for rows in splits.partition_by("partition")
    }
    assert len(found) == 20


def test_more_partitions_than_speakers_have_are_refused():
    table = make_table(dict.fromkeys("abc", 4))
    with pytest.raises(
        CorpusError, match=r"its 3 speakers give 6 partitions that differ, .* set partitions to 6 or less"
    ):
        assign_splits(table, task({"by": "fractions"}).split, 7)
    assert assign_splits(table, task({"by": "fractions"}).split, 6)["partition"].n_unique() == 6
    with pytest.raises(CorpusError, match="its 3 speakers give 1 partitions that differ"):
        assign_splits(table, task({"by": "folds", "k": 3}).split, 2)


def test_listed_partitions_worked_by_hand():
    """The six sessions of MSP-IMPROV, four of which train."""
    sessions = {f"{sex}{number}": f"session{number}" for number in range(1, 7) for sex in "FM"}
    table = make_table(dict.fromkeys(sessions, 2), sessions)
    listed = [
        {"dev": [f"Session{dev}"], "test": [f"session{test}"]} for test, dev in ((5, 4), (3, 2), (2, 1), (1, 6), (6, 5))
    ]
    config = task({"by": "official", "partitions": listed})
    assert config.partitions == 5
    splits = assign_splits(table, config.split, config.partitions)
    found = [parts(splits.filter(partition=i)) for i in range(5)]
    assert [(names["test"], names["dev"]) for names in found] == [
        ({"F5", "M5"}, {"F4", "M4"}),
        ({"F3", "M3"}, {"F2", "M2"}),
        ({"F2", "M2"}, {"F1", "M1"}),
        ({"F1", "M1"}, {"F6", "M6"}),
        ({"F6", "M6"}, {"F5", "M5"}),
    ]
    assert all(len(names["train"]) == 8 for names in found)
    people = [{"dev": ["F1"], "test": ["M1"]}, {"train": ["F3"], "dev": ["M1"], "test": ["F1", "F2"]}]
    splits = assign_splits(table, task({"by": "speakers", "partitions": people}).split, 2)
    assert parts(splits.filter(partition=0))["train"] == set(sessions) - {"F1", "M1"}
    assert parts(splits.filter(partition=1)) == {"train": {"F3"}, "dev": {"M1"}, "test": {"F1", "F2"}}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("part", ["train", "dev"])
def test_an_official_name_in_two_parts_is_refused(listed, part):
    """One of the two would be dropped without a word."""
    division = {"train": ["x"], "dev": ["y"], "test": ["z"]}
    division[part] = [*division[part], "z"]
    split = {"partitions": [division]} if listed else division
    with pytest.raises(ValueError, match=rf"more than one part names z \({part}, test\); leave each name in one part"):
        task({"by": "official", **split})


def test_official_names_of_two_parts_are_compared_in_any_case_and_default_names_give_way():
    with pytest.raises(ValueError, match=r"more than one part names s4 \(dev, test\)"):
        task({"by": "official", "partitions": [{"dev": ["S4"], "test": ["s4"]}]})
    table = make_table(dict.fromkeys("abc", 2), {"a": "train", "b": "dev", "c": "valid"})
    assert parts(assign(table, by="official", test=["dev"])) == {"train": {"a"}, "dev": {"c"}, "test": {"b"}}


def test_a_listed_partition_that_names_nothing_is_found_by_its_number():
    table = make_table(dict.fromkeys("abc", 2), {"a": "one", "b": "two", "c": "three"})
    good, bad = {"dev": ["one"], "test": ["two"]}, {"dev": ["one", "four"], "test": ["two"]}
    with pytest.raises(
        CorpusError, match=r"are one, three, two; none has one of the names four; .* split\.partitions\[1\]"
    ):
        assign_splits(table, task({"by": "official", "partitions": [good, bad]}).split, 2)
    with pytest.raises(CorpusError, match=r"speaker z \(split\.partitions\[0\]\.test\)"):
        assign_splits(table, task({"by": "speakers", "partitions": [{"dev": ["a"], "test": ["z"]}]}).split)


def test_errors_name_the_partition():
    table = make_table(dict.fromkeys("abcd", 2)).filter(pl.col("utterance_id") != "c/b_0")
    listed = [{"dev": ["c"], "test": ["b"]}, {"train": ["b"], "dev": ["c"], "test": ["a"]}]
    splits = assign_splits(table, task({"by": "speakers", "partitions": listed}).split, 2)
    with pytest.raises(CorpusError, match=r"task t, partition 1, fold 0: no training clip of class anger"):
        check_splits("t", splits, CLASSES)
    manifest, labels = as_tables(table)
    listed = [{"dev": ["c"], "test": ["a"]}, {"dev": ["c"], "test": ["b"]}]
    config = task({"by": "speakers", "partitions": listed})
    with pytest.raises(CorpusError, match=r"no test clip of corpus c is of class anger in partition 1; choose another"):
        build_task("t", config, {"c": manifest}, {"c": labels})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"split": {"by": "official"}, "partitions": 2}, r"by official draws nothing.*list them in split\.partitions"),
        (
            {"split": {"by": "leave_one_speaker_out"}, "partitions": 2},
            r"partitions is 2, and a split by leave_one_speaker_out draws nothing.*split by fractions or folds",
        ),
        (
            {"split": {"by": "official", "partitions": [{"dev": ["a"], "test": ["b"]}]}, "partitions": 2},
            r"partitions is 2, and split\.partitions lists 1; leave partitions out",
        ),
        (
            {"split": {"by": "official", "test": ["x"], "partitions": [{"dev": ["a"], "test": ["b"]}]}},
            r"test and partitions",
        ),
        (
            {"split": {"by": "speakers", "dev": ["x"], "partitions": [{"dev": ["a"], "test": ["b"]}]}},
            r"both name speakers",
        ),
        ({"split": {"by": "speakers", "dev": ["x"]}}, r"test must not be empty; name at least one, or list"),
        ({"split": {"by": "table", "file": "t"}, "partitions": 2}, r"the table's column in split\.columns\.partition"),
        (
            {"split": {"by": "table", "file": "t", "columns": {"part": "p", "fold": "f"}}},
            r"either the column of the part",
        ),
        ({"split": {"by": "all"}}, r"leaves no clip of the corpus to test on; name other corpora in test_also"),
    ],
)
def test_partitions_that_cannot_be_are_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        Task.model_validate({"corpus": "c", "classes": CLASSES, **values})


def test_a_table_names_parts_of_each_partition(tmp_path):
    """Worked by hand: four clips, two rounds; the second leaves one out."""
    rows = ["a_0,x,train", "a_1,x,train", "b_0,x,dev", "c_0,x,test", "a_0,y,test", "b_0,y,train", "c_0,y,dev"]
    (tmp_path / "t.csv").write_text("\n".join(["utterance_id,round,part", *rows]))
    split = {"by": "table", "file": str(tmp_path / "t.csv"), "columns": {"part": "part", "partition": "round"}}
    table = make_table({"a": 2, "b": 1, "c": 1})
    splits = assign_splits(table, task(split, partitions=2).split, 2)
    assert splits.select("partition", "fold", "utterance_id", "split").rows() == [
        (0, 0, "c/a_0", "train"),
        (0, 0, "c/a_1", "train"),
        (0, 0, "c/b_0", "dev"),
        (0, 0, "c/c_0", "test"),
        (1, 0, "c/a_0", "test"),
        (1, 0, "c/b_0", "train"),
        (1, 0, "c/c_0", "dev"),
    ]
    with pytest.raises(CorpusError, match=r"holds 2 partitions \(x, y\), and the task's partitions is 3"):
        assign_splits(table, task(split, partitions=3).split, 3)


def test_a_table_of_folds_tests_each_in_turn_and_develops_on_the_next(tmp_path):
    (tmp_path / "t.tsv").write_text("clip\tfold\na_0\t1\nb_0\t2\nc_0\t10\nd_0\t10\nc/x_0\t1\n")
    split = {"by": "table", "file": str(tmp_path / "t.tsv"), "columns": {"utterance": "clip", "fold": "fold"}}
    table = make_table(dict.fromkeys("abcde", 1))
    # x is in the corpus without a label; e is not in the table.
    splits = assign_splits(table, task(split).split, known=[*table["utterance_id"], "c/x_0"])
    assert [parts(splits, fold) for fold in range(3)] == [
        {"test": {"a"}, "dev": {"b"}, "train": {"c", "d"}},
        {"test": {"b"}, "dev": {"c", "d"}, "train": {"a"}},
        {"test": {"c", "d"}, "dev": {"a"}, "train": {"b"}},
    ]
    with pytest.raises(CorpusError, match=r"corpus c has no utterance c/x_0 \(line 6\)"):
        assign_splits(table, task(split).split)


def test_what_a_table_does_not_name_is_left_out_and_counted(tmp_path):
    rows = [
        f"{speaker}_{i},{part}" for speaker, part in (("a", "train"), ("b", "dev"), ("c", "test")) for i in range(2)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["utterance_id,part", *rows]))
    manifest, labels = as_tables(make_table(dict.fromkeys("abcd", 2)))
    labels = labels.with_columns(label=pl.when(pl.col("utterance_id") == "c/d_1").then(None).otherwise(pl.col("label")))
    config = task({"by": "table", "file": str(tmp_path / "t.csv")})
    splits = build_task("t", config, {"c": manifest}, {"c": labels})
    assert parts(splits) == {"train": {"a"}, "dev": {"b"}, "test": {"c"}}
    file = tmp_path / "t.csv"
    assert describe_left_out(config, {"c": manifest}, {"c": labels}) == f"c: without a label 1; not in {file} 1"
    assert list_label_notes("t", config, {"c": manifest}, {"c": labels}) == [
        f"labelled clips that tasks.t.split does not name are left out: {file} 1"
    ]


def test_all_clips_train_and_other_corpora_are_tested():
    manifest, labels = as_tables(make_table(TEN))
    other, votes = as_tables(make_table({"z": 4}, corpus="d"))
    config = task({"by": "all", "dev": 0.2}, test_also=["d"])
    splits = build_task("t", config, {"c": manifest, "d": other}, {"c": labels, "d": votes})
    own = splits.filter(corpus="c")
    assert set(own["split"]) == {"train", "dev"} and all_in_one_part(own)
    assert own["utterance_id"].to_list() == manifest["utterance_id"].sort().to_list()
    assert own.filter(split="dev").height == 20, "two of ten speakers of ten clips each"
    assert splits.filter(split="test")["corpus"].unique().to_list() == ["d"]
    with pytest.raises(
        CorpusError, match=r"split\.by: all needs at least 2 speakers with labelled clips; there is 1 \(a\)"
    ):
        assign_splits(make_table({"a": 4}), config.split)
    with pytest.raises(CorpusError, match=r"no clip of corpus d has the label neutral; its labels are"):
        build_task("t", config, {"c": manifest, "d": other}, {"c": labels, "d": votes.filter(label="anger")})


def test_the_test_part_of_another_task_is_tested_partition_by_partition():
    """Symptom: Table V was tested on all of MSP-IMPROV, its training part included."""
    manifest, labels = as_tables(make_table(TEN))
    people = {"u": 4, "v": 4, "w": 4, "x": 2}
    other, votes = as_tables(make_table(people, dict.fromkeys(people, "session"), corpus="d"))
    sessions = [{"dev": ["u"], "test": ["v", "x"]}, {"dev": ["v"], "test": ["w"]}]
    its = task({"by": "speakers", "partitions": sessions}, corpus="d")
    config = task({"by": "fractions"}, test_also={"d": "test"})
    tables = {"c": manifest, "d": other}, {"c": labels, "d": votes.filter(pl.col("utterance_id") != "d/v_0")}
    splits = build_task("t", config, *tables, {"its": its})
    first, second = splits.partition_by("partition")
    assert set(first.filter(corpus="d")["utterance_id"]) == {"d/v_1", "d/v_2", "d/v_3", "d/x_0", "d/x_1"}
    assert set(second.filter(corpus="d")["speaker"]) == {"w"}
    assert set(splits.filter(corpus="d")["split"]) == {"test"}
    own = [rows.filter(corpus="c").drop("partition") for rows in (first, second)]
    assert own[0].equals(own[1]), "its own corpus is divided once"
    whole = build_task("t", task({"by": "fractions"}, test_also=["d"]), *tables)
    assert whole.filter(corpus="d").height == 13 and whole["partition"].n_unique() == 1


LABELS = pl.DataFrame({"utterance_id": ["c/1", "c/2", "c/3", "c/4"], "label": ["anger", "calm", None, "fear"]})
OFFICIAL = {"by": "official"}


def test_labels_are_mapped_and_missing_ones_left_out():
    mapped = map_labels("t", task(OFFICIAL, class_map={"calm": "neutral", "fear": "anger"}), LABELS, "c")
    assert mapped.sort("utterance_id").rows() == [("c/1", "anger"), ("c/2", "neutral"), ("c/4", "anger")]


def test_labels_outside_the_classes_are_named_or_dropped():
    with pytest.raises(CorpusError, match=r"none of its classes \(anger, neutral\): calm 1, fear 1; map them"):
        map_labels("t", task(OFFICIAL), LABELS, "c")
    dropping = task(OFFICIAL, other_labels="drop", class_map={"calm": "neutral"})
    assert map_labels("t", dropping, LABELS, "c").rows() == [("c/1", "anger"), ("c/2", "neutral")]
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
    with pytest.raises(DataError, match=r"without a row in its manifest: c/a_0; it changed while it was listed"):
        build_task("t", task({"by": "fractions"}), {"c": manifest[1:]}, {"c": labels})


def test_real_ravdess_splits_70_15_15(real_data):
    from emoadapt.corpora.ravdess import Config
    from emoadapt.listing.manifests import list_label_rows

    config = Config(importer="ravdess", root=str(real_data / "ravdess"))
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


def test_partitions_with_the_same_test_clips_are_noted() -> None:
    """They would be several pairs of a t-test, though they test one set of clips."""
    table = make_table(dict.fromkeys("abc", 4))
    listed = [{"dev": [dev], "test": [test]} for dev, test in ("ab", "ba", "bc")]
    listed.append({"train": ["c"], "dev": ["a"], "test": ["b"]})
    named = task({"by": "speakers", "partitions": listed})
    splits = assign_splits(table, named.split, 4)
    assert find_repeated_partitions(splits) == [(3, 0)]
    swapped = splits.with_columns(pl.col("split").replace({"dev": "train", "train": "dev"}))
    later = pl.concat([splits, swapped.with_columns(pl.col("partition") + 4)])
    assert find_repeated_partitions(later) == [(3, 0), (4, 0), (5, 1), (6, 2), (7, 0)]
    (note,) = (note for note in list_task_notes("t", named, splits, ["default"]) if "p-values" in note)
    assert "3 tests those of 0" in note and "tasks.t" in note


def test_partitions_are_the_same_whatever_the_order_of_their_folds() -> None:
    table = make_table(dict.fromkeys("abcdef", 4))
    once = assign_splits(table, task({"by": "leave_one_speaker_out"}).split)
    turned = once.with_columns(partition=pl.lit(1, pl.Int32), fold=(pl.col("fold") + 1) % 6)
    assert find_repeated_partitions(pl.concat([once, turned])) == [(1, 0)]
    other = turned.with_columns(pl.col("split").replace({"dev": "test", "test": "dev"}))
    fewer = other.filter(pl.col("fold") > 0)
    assert find_repeated_partitions(pl.concat([once, fewer])) == []


def test_partitions_of_many_speakers_are_not_noted() -> None:
    table = make_table({f"s{number:02d}": 4 for number in range(20)})
    for split in ({"by": "fractions"}, {"by": "folds", "k": 5}):
        assert find_repeated_partitions(assign_splits(table, task(split).split, 5)) == []


SEGMENTS = [f"c/{who}_{take}#0.{time}0-0.{time + 1}0" for who in "abcd" for take in range(2) for time in range(2)]


def build_segments(score: str, truths: dict[str, dict[str, object]], **values: object) -> pl.DataFrame:
    """A task on segments of two recordings of four speakers; `truths` are other columns of LABELS of some."""
    empty = pl.DataFrame(schema.LABELS.empty_table())
    rows = [
        {"utterance_id": name, "label": CLASSES[int(name[4])], "arousal": float(name[4]), "valence": float(name[4])}
        | truths.get(name, {})
        for name in SEGMENTS
    ]
    labels = pl.concat([empty, pl.DataFrame(rows)], how="diagonal_relaxed").select(empty.columns)
    manifest = pl.DataFrame({"utterance_id": SEGMENTS, "speaker": [name[2] for name in SEGMENTS]}).with_columns(
        sex=pl.lit(None, pl.String), split=pl.lit(None, pl.String)
    )
    made = task({"by": "leave_one_speaker_out"}, score=score, **values)
    return build_task("t", made, {"c": manifest}, {"c": labels})


@pytest.mark.parametrize(
    ("values", "other"),
    [
        ({}, {"label": "neutral"}),
        ({"classes": (), "attributes": ("arousal", "valence")}, {"valence": 7.0}),
        ({"classes": (), "attributes": ("arousal", "valence")}, {"arousal": None, "valence": 7.0}),
    ],
)
def test_recordings_whose_segments_disagree_are_refused_before_anything_trains(values: dict, other: dict) -> None:
    """It was found by the evaluation, after all runs."""
    build_segments("parents", {}, **values)
    torn = {"c/b_0#0.10-0.20": other}
    build_segments("utterances", torn, **values)
    with pytest.raises(CorpusError, match=r"^task t: segments of c/b_0 have different .*s, so that .* tasks\.t\.score"):
        build_segments("parents", torn, **values)


def test_a_segment_that_is_not_rated_does_not_disagree() -> None:
    build_segments("parents", {"c/b_0#0.10-0.20": {"valence": None}}, classes=(), attributes=("arousal", "valence"))


def build_with_target(partition=0, target=(), labels=None, speakers=None, **split):
    """SPLITS rows of a task on `c` whose target is `d`, ten clips of each of four speakers."""
    from emoadapt.tasks.splits import build_partition

    tables = {corpus: make_table(dict.fromkeys("stuv", 10), corpus=corpus) for corpus in "cd"}
    manifests = {corpus: table.select("utterance_id", "speaker", "sex", "split") for corpus, table in tables.items()}
    if speakers:
        manifests["d"] = manifests["d"].with_columns(pl.col("speaker").replace_strict(speakers, return_dtype=pl.String))
    truths = {corpus: table.select("utterance_id", "label", "soft") for corpus, table in tables.items()} | (
        labels or {}
    )
    config = task({"by": "all", "dev": 0.1, **split}, target={"corpus": "d", **dict(target)}, partitions=3)
    return build_partition("t", config, partition, manifests, truths)


def test_a_target_is_divided_into_a_part_without_labels_and_a_test_part():
    """36 and 4 clips of the source; 12 and 28 of the target, each once."""
    rows = build_with_target(unit="utterances")
    counts = rows.group_by("corpus", "split").len().sort("corpus", "split").rows()
    assert counts == [("c", "dev", 4), ("c", "train", 36), ("d", "test", 28), ("d", "unlabelled", 12)]
    assert rows["utterance_id"].is_unique().all()
    assert rows.filter(split="dev")["speaker"].n_unique() > 1, "utterances are drawn, and not speakers"


def test_each_partition_divides_both_corpora_anew():
    read = [set(build_with_target(n, unit="utterances").filter(split="unlabelled")["utterance_id"]) for n in range(3)]
    dev = [set(build_with_target(n, unit="utterances").filter(split="dev")["utterance_id"]) for n in range(3)]
    assert all(first != other for parts in (read, dev) for first, other in itertools.pairwise(parts))
    assert read[0] != set(build_with_target(target={"seed": 1}).filter(split="unlabelled")["utterance_id"])


def test_a_target_divided_by_speaker_shares_none():
    for partition in range(3):
        rows = build_with_target(partition, target={"unit": "speakers", "share": 0.25}).filter(corpus="d")
        read, tested = (set(rows.filter(split=part)["speaker"]) for part in ("unlabelled", "test"))
        assert len(read) == 1 and len(tested) == 3 and not read & tested


def test_labels_of_a_target_decide_nothing_of_its_division():
    turned = make_table(dict.fromkeys("stuv", 10), corpus="d").select(
        "utterance_id", "soft", label=pl.col("label").replace({"anger": "neutral", "neutral": "anger"})
    )
    for target in ({}, {"unit": "speakers", "share": 0.25}):
        first, other = build_with_target(target=target), build_with_target(target=target, labels={"d": turned})
        assert first.drop("label").equals(other.drop("label")) and not first.equals(other)


@pytest.mark.parametrize(("share", "part"), [(0.01, "unlabelled"), (0.99, "test")])
def test_a_share_that_leaves_a_part_of_the_target_empty_is_refused(share, part):
    """No training could read the one, and nobody would miss the scores on the other."""
    said = f"task t, corpus d: share {share} of the 40 clips of the target leaves its {part} part empty; choose another target.share"
    with pytest.raises(CorpusError, match=re.escape(said)):
        build_with_target(target={"share": share})
    assert set(build_with_target(target={"share": 0.03}).filter(corpus="d")["split"]) == {"unlabelled", "test"}


@pytest.mark.parametrize(("known", "said"), [(0, "40 have none, and there are 0"), (1, "30 have none, and there is 1")])
def test_a_target_of_unknown_speakers_is_not_divided_by_them(known, said):
    names = {speaker: speaker if place < known else None for place, speaker in enumerate("stuv")}
    with pytest.raises(CorpusError, match=f"{said}; set target.unit: utterances, or give the corpus speakers"):
        build_with_target(target={"unit": "speakers"}, speakers=names)


def test_fractions_of_utterances_take_their_shares():
    table = make_table(TEN)
    splits = assign(table, by="fractions", unit="utterances")
    sizes = dict(splits.group_by("split").len().iter_rows())
    assert sizes == {
        "train": round(0.7 * table.height),
        "dev": round(0.85 * table.height) - round(0.7 * table.height),
    } | {"test": table.height - round(0.85 * table.height)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target": {"corpus": "d"}, "test_also": ["d"]}, "d is the target, whose test part is tested"),
        ({"target": {"corpus": "d"}, "classes": [], "attributes": ["arousal"]}, "a target is for tasks of classes"),
    ],
)
def test_targets_without_sense_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        task({"by": "all"}, **values)
