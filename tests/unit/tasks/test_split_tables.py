"""Splits by a user's own table: what it may say, and what is refused."""

from __future__ import annotations

import pytest

from emoadapt.config import Task
from emoadapt.errors import CorpusError
from emoadapt.tasks.split_tables import (
    Row,
    describe_split_table,
    list_folds,
    list_partitions,
    place_utterances,
    read_split_table,
)


@pytest.fixture
def write(tmp_path):
    """Write a table and return the split that reads it."""

    def make(text, name="splits.csv", **columns):
        (tmp_path / name).write_text(text)
        columns = columns or {"part": "part"}
        split = {"by": "table", "file": str(tmp_path / name), "columns": columns}
        return Task.model_validate({"corpus": "c", "classes": ["x", "y"], "split": split}).split

    return make


def test_rows_hold_partition_utterance_group_and_line(write):
    split = write("id;set;other\na;Train;1\n\nb;validation;2\n c ;TEST;3\n", utterance="id", part="set")
    assert read_split_table(split) == (Row("", "a", "train", 2), Row("", "b", "dev", 4), Row("", "c", "test", 5))
    tabbed = write("utterance_id\tfold\tround\na, b\t1\tx\n", "t.tsv", fold="fold", partition="round")
    assert read_split_table(tabbed) == (Row("x", "a, b", "1", 2),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "id,part\na,train\n",
            r"no column is called utterance_id; there are id, part; correct the task's split\.columns",
        ),
        ("utterance_id,part,part\na,train,dev\n", r"more than one column is called part"),
        ("utterance_id,part\na,train\nb,\n", r"splits\.csv, line 3: part is empty"),
        ("utterance_id,part\na,train\nb,eval\n", r"splits\.csv, line 3: the part is 'eval'; write train, dev or test"),
        ("utterance_id,part\na,train\nb\n", r"splits\.csv, line 3: 1 cell under 2 columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(write, text, problem):
    with pytest.raises(CorpusError, match=problem):
        read_split_table(write(text))


def test_a_missing_table_is_named(tmp_path):
    split = {"by": "table", "file": str(tmp_path / "none.csv")}
    with pytest.raises(CorpusError, match=r"none\.csv: this table does not exist; correct the task's split\.file"):
        read_split_table(Task.model_validate({"corpus": "c", "classes": ["x", "y"], "split": split}).split)


def test_the_digest_depends_on_the_content_only(write):
    first = describe_split_table(write("utterance_id,part\na,train\nb,dev\n"))
    assert describe_split_table(write("part,who,utterance_id\ndevel,z,b\ntrain,y,a\n", "moved.csv")) == first
    assert describe_split_table(write("utterance_id,part\na,train\nb,test\n")) != first
    parts, folds = "utterance_id,part\na,train\nb,dev\nc,test\n", "utterance_id,fold\na,train\nb,dev\nc,test\n"
    assert describe_split_table(write(parts)) != describe_split_table(write(folds, fold="fold"))


def test_folds_and_partitions_are_ordered_by_number_or_name(write):
    split = write("utterance_id,fold\na,1\n", fold="fold")
    rows = [
        Row(partition, name, fold, 2)
        for partition in ("9", "10")
        for name, fold in zip("abc", ("10", "2", "1"), strict=True)
    ]
    assert list_folds(split, rows) == ["1", "2", "10"]
    assert list_partitions(rows) == ["9", "10"]
    assert list_partitions([row._replace(partition=f"p{row.partition}") for row in rows]) == ["p10", "p9"]
    with pytest.raises(
        CorpusError, match=r"2 folds \(1, 2\) cannot be train, dev and test in turn; make three or more"
    ):
        list_folds(split, rows[1:3])
    with pytest.raises(CorpusError, match=r"partition 10 has no row of fold 1; each partition needs the same folds"):
        list_folds(split, rows[:-1])


KNOWN = {"c/a", "c/b", "c/talk#0.00-2.00", "c/talk#1.50-3.50", "c/talk2#0.00-2.00"}


def place(split, *rows):
    return place_utterances(split, "c", [Row("", name, part, line) for line, (name, part) in enumerate(rows, 2)], KNOWN)


def test_utterances_are_named_with_or_without_their_corpus_and_recordings_by_their_segments(write):
    split = write("utterance_id,part\na,train\n")
    assert place(split, ("a", "train"), ("c/b", "dev"), ("talk", "test"), ("c/talk2#0.00-2.00", "dev")) == {
        "c/a": "train",
        "c/b": "dev",
        "c/talk#0.00-2.00": "test",
        "c/talk#1.50-3.50": "test",
        "c/talk2#0.00-2.00": "dev",
    }


def test_unknown_and_doubled_utterances_are_refused_with_their_lines(write):
    split = write("utterance_id,part\na,train\n")
    with pytest.raises(
        CorpusError,
        match=r"corpus c has no utterance tolk2 \(line 2\), d/a \(line 4\); is talk2 meant\? correct the table, or",
    ):
        place(split, ("tolk2", "dev"), ("b", "train"), ("d/a", "dev"))
    with pytest.raises(CorpusError, match=r"splits\.csv, lines 2 and 3: both name c/a; keep one row"):
        place(split, ("a", "train"), ("c/a", "train"))
    with pytest.raises(CorpusError, match=r"lines 2 and 3: both name c/talk#1\.50-3\.50"):
        place(split, ("talk#1.50-3.50", "train"), ("talk", "train"))
