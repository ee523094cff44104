"""Predictions averaged over the segments of a parent."""

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from emoadapt import schema
from emoadapt.corpora.base import make_utterance_id, parent_of
from emoadapt.errors import DataError
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import TABLES, evaluate_task, name_table
from emoadapt.evaluation.predictions import average_classes, name_parent, read_labels
from emoadapt.evaluation.questions import pose_question
from emoadapt.storage.frames import make_frame
from emoadapt.storage.tables import read_table, write_table

CLASSES = ("anger", "neutral", "sadness")


def segment(parent, begin, label, logits, **changes):
    return dict(
        task="t", backbone="w", start="original", finetuning="default", subset="full", partition=0, resampling=0, fold=0, seed=0,
        test_corpus="c", utterance_id=f"c/{parent}#{begin}.00-{begin + 2}.00", speaker=f"s{parent}", sex="female", label=label,
        predicted=CLASSES[int(np.argmax(logits))], logits=list(logits),
    ) | changes  # fmt: skip


def cut(generator, **changes):
    """Twenty parents of one to four segments."""
    return [
        segment(parent, begin, CLASSES[parent % 3], generator.normal(size=3) * 3, **changes)
        for parent in range(20)
        for begin in range(1 + parent % 4)
    ]


def test_probabilities_are_averaged_not_logits() -> None:
    logits = np.array([[9.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0]])
    rows = [segment(1, begin, "neutral", row) for begin, row in enumerate(logits)]
    (row,) = average_classes("t", make_frame(rows, schema.PREDICTIONS), CLASSES).iter_rows(named=True)
    assert row["utterance_id"] == "c/1"
    assert softmax(row["logits"]) == pytest.approx(softmax(logits, axis=1).mean(axis=0), abs=1e-6)
    # The mean of the logits would be anger.
    assert row["predicted"] == "neutral"
    assert (row["label"], row["speaker"], row["sex"]) == ("neutral", "s1", "female")


def test_scores_of_parents_are_those_of_a_table_of_parents(tmp_path) -> None:
    rows = [row for seed in (0, 1) for row in cut(np.random.default_rng(seed), seed=seed)]
    parents = {}
    for row in rows:
        parents.setdefault((row["seed"], row["utterance_id"].split("#")[0]), []).append(row)
    whole = []
    for (_, name), segments in parents.items():
        shares = softmax([row["logits"] for row in segments], axis=1).mean(axis=0)
        predicted = CLASSES[int(shares.argmax())]
        whole.append(segments[0] | dict(utterance_id=name, predicted=predicted, logits=np.log(shares).tolist()))
    vectors = [
        {key: row[key] for key in schema.EMBEDDINGS.names if key in row} | dict(tuned=row["logits"], start_point=[1.0, 2.0, 3.0])
        for row in rows
    ]  # fmt: skip
    found = []
    for name, content, averaged in (("segments", rows, True), ("whole", whole, False)):
        write_table(tmp_path / name / "p.parquet", content, schema.PREDICTIONS)
        write_table(tmp_path / name / "e.parquet", vectors, schema.EMBEDDINGS)
        question = pose_question("t", "classes", CLASSES, parents=averaged)
        paths = [[tmp_path / name / "p.parquet"], [tmp_path / name / "e.parquet"] if averaged else []]
        evaluate_task(question, *paths, tmp_path / name, Scoring(bootstrap=100, group_clips=1))
        tables = {table: read_table(name_table(tmp_path / name, "t", table), kind) for table, kind in TABLES.items()}
        found.append({table: pl.from_arrow(content) for table, content in tables.items()})
    distances = found[0]["metrics"].filter(metric="cosine_distance")
    assert distances["n"].to_list() == [20, 20]
    assert set(found[0]["metrics"].filter(metric="uar")["n"]) == {20}
    for table in TABLES:
        ours, theirs = (tables[table] for tables in found)
        if table in ("metrics", "comparisons"):
            ours = ours.filter(pl.col("metric") != "cosine_distance")
        assert ours.select(~pl.selectors.float()).equals(theirs.select(~pl.selectors.float())), table
        np.testing.assert_allclose(
            ours.select(pl.selectors.float()).to_numpy(), theirs.select(pl.selectors.float()).to_numpy(), atol=1e-5
        )


def test_distances_of_segments_are_averaged_per_parent(tmp_path) -> None:
    rows = [segment(1, 0, "anger", [1, 0, 0]), segment(1, 2, "anger", [1, 0, 0]), segment(2, 0, "anger", [1, 0, 0])]
    keys = [{key: row[key] for key in schema.EMBEDDINGS.names if key in row} for row in rows]
    turned = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    vectors = [key | dict(tuned=vector, start_point=[1.0, 0.0]) for key, vector in zip(keys, turned, strict=True)]
    write_table(tmp_path / "p.parquet", rows, schema.PREDICTIONS)
    write_table(tmp_path / "e.parquet", vectors, schema.EMBEDDINGS)
    question = pose_question("t", "classes", CLASSES, parents=True)
    evaluate_task(question, [tmp_path / "p.parquet"], [tmp_path / "e.parquet"], tmp_path, Scoring(bootstrap=100))
    metrics = pl.from_arrow(read_table(name_table(tmp_path, "t"), schema.METRICS))
    # Distances 0 and 1 of the first parent, 2 of the second.
    assert metrics.filter(metric="cosine_distance")["value"].to_list() == [pytest.approx((0.5 + 2) / 2)]


def test_segments_of_a_parent_have_one_label() -> None:
    rows = [segment(1, 0, "anger", [1, 0, 0]), segment(1, 2, "neutral", [1, 0, 0])]
    with pytest.raises(DataError, match=r"segments of c/1 have different labels, .*; .* tasks\.t\.score to utterances"):
        average_classes("t", make_frame(rows, schema.PREDICTIONS), CLASSES)


def test_runs_and_folds_are_averaged_apart() -> None:
    rows = [
        segment(1, begin, "anger", [1, 0, 0], fold=fold, seed=seed)
        for fold in (0, 1)
        for seed in (0, 1)
        for begin in (0, 2)
    ]
    found = average_classes("t", make_frame(rows, schema.PREDICTIONS), CLASSES)
    assert found.select("fold", "seed").rows() == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("times", [(1.5, 3.5), (0.0, 2.255), (4.0, None), (100.0, 102.0)])
def test_parent_is_the_identifier_before_the_last_segment(times: tuple[float, float | None]) -> None:
    segment = make_utterance_id("c", "a/b.wav", *times)
    named = pl.DataFrame({"utterance_id": [segment, segment + segment.removeprefix("c/a/b"), "c/a", "c/a#take-2"]})
    assert named.select(name_parent()).to_series().to_list() == ["c/a/b", segment, "c/a", "c/a#take-2"]
    assert list(map(parent_of, named["utterance_id"])) == named.select(name_parent()).to_series().to_list()


def test_labels_that_no_training_reads_are_taken_from_the_splits(tmp_path):
    """A clip without one in either is refused."""
    base = dict(
        task="t",
        backbone="b",
        start="original",
        finetuning="default",
        subset="full",
        partition=0,
        resampling=0,
        fold=0,
        seed=0,
    )
    rows = [
        base | dict(test_corpus="far", utterance_id=f"far/{n}", speaker=None, sex=None, label=None, predicted="x", logits=[1.0, 0.0])
        for n in (1, 2)
    ]  # fmt: skip
    write_table(tmp_path / "p.parquet", rows, schema.PREDICTIONS)
    clips = [
        dict(utterance_id=f"far/{n}", corpus="far", label=label, partition=0, fold=0, split=part)
        for n, label, part in ((1, "x", "test"), (2, "y", "test"), (3, "y", "unlabelled"))
    ]
    write_table(tmp_path / "s.parquet", clips, schema.SPLITS)
    labels = read_labels([tmp_path / "s.parquet"], "far")
    assert labels == {"far/1": "x", "far/2": "y"}
    frame = pose_question("t", "classes", ["x", "y"], labels=labels).read([tmp_path / "p.parquet"])
    assert frame["label"].to_list() == ["x", "y"]
    with pytest.raises(DataError, match="have a label of far/2"):
        pose_question("t", "classes", ["x", "y"], labels={"far/1": "x"}).read([tmp_path / "p.parquet"])
