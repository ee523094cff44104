"""Tasks of attributes: who is in them, which splits are refused, and how subsets are drawn."""

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import Task
from emoadapt.errors import CorpusError, DataError
from emoadapt.tasks.notes import list_task_notes
from emoadapt.tasks.splits import build_task
from emoadapt.tasks.subsets import draw_rated_subset, draw_subsets


def make_task(**settings) -> Task:
    split = {"by": "speakers", "dev": ("3",), "test": ("4",)}
    return Task.model_validate({"corpus": "talk", "attributes": ("arousal", "valence"), "split": split} | settings)


def make_tables(ratings: dict[str, list[tuple[float | None, float | None]]]):
    """Manifest and labels of corpus talk: speaker -> (arousal, valence) of its clips."""
    names = [
        (f"talk/{speaker}_{i}", speaker, *pair) for speaker, pairs in ratings.items() for i, pair in enumerate(pairs)
    ]
    manifest = pl.DataFrame(
        [{"utterance_id": name, "speaker": speaker} for name, speaker, *_ in names],
        schema=dict(pl.DataFrame(schema.MANIFEST.empty_table()).schema),
    )
    labels = pl.DataFrame(
        [{"utterance_id": name, "arousal": a, "valence": v} for name, _, a, v in names],
        schema=dict(pl.DataFrame(schema.LABELS.empty_table()).schema),
    )
    return {"talk": manifest}, {"talk": labels}


GOOD = {
    "1": [(1.0, 2.0), (2.0, None), (None, None)], "2": [(3.0, 1.0)], "3": [(1.0, 1.0), (2.0, 2.0)], "4": [(5.0, 6.0), (4.0, 7.0)],
}  # fmt: skip


def test_clips_with_any_rating_are_in_the_task_in_their_own_scale() -> None:
    splits = build_task("t", make_task(), *make_tables(GOOD))
    assert "talk/1_2" not in splits["utterance_id"]
    assert splits.filter(utterance_id="talk/1_1").select("arousal", "valence", "dominance", "label").row(0) == (
        2.0,
        None,
        None,
        None,
    )
    assert splits.filter(split="test")["valence"].to_list() == [6.0, 7.0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"3": [(1.0, 1.0), (1.0, 2.0)]},
            r"task t, fold 0: dev has 1 value of arousal, and at least two different ones",
        ),
        ({"4": [(1.0, None), (2.0, None)]}, r"task t, fold 0: test has no values of valence"),
        ({"1": [(float("inf"), 1.0)]}, r"no finite numbers in corpus talk: talk/1_0"),
        (
            {key: [(None, None)] for key in GOOD},
            r"no clip of corpus talk has a value of arousal, valence; name its columns",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_sentence(change, sentence) -> None:
    with pytest.raises(CorpusError, match=sentence):
        build_task("t", make_task(), *make_tables(GOOD | change))


def rated(n: int) -> pl.DataFrame:
    random = np.random.default_rng(1)
    arousal = random.normal(size=n)
    valence = [None if i % 10 == 0 else value for i, value in enumerate(arousal * 0.5 + random.normal(size=n))]
    return pl.DataFrame({"utterance_id": [f"c/{i:04}" for i in range(n)], "arousal": arousal, "valence": valence})


def find_strata(rows: pl.DataFrame) -> pl.DataFrame:
    """The strata of the docstring, from quantiles and not from ranks."""
    thirds = [
        pl.when(pl.col(c).is_null()).then(3).otherwise((pl.col(c) > rows[c].quantile(1 / 3, "linear")).cast(int) + (pl.col(c) > rows[c].quantile(2 / 3, "linear")).cast(int)).alias(f"{c}_third")
        for c in ("arousal", "valence")
    ]  # fmt: skip
    return rows.with_columns(thirds)


@pytest.mark.parametrize("size", [7, 16, 64, 199])
def test_strata_get_their_share_rounded_up_or_down(size) -> None:
    rows = find_strata(rated(200))
    chosen = draw_rated_subset(rows, ("arousal", "valence"), size, np.random.default_rng(0))
    assert len(set(chosen)) == size
    counts = rows.group_by("arousal_third", "valence_third").agg(
        pl.len(), drawn=pl.col("utterance_id").is_in(chosen).sum()
    )
    assert len(counts) == 12
    for *_, total, drawn in counts.iter_rows():
        assert abs(drawn - total * size / 200) < 1


def test_every_clip_has_the_same_chance() -> None:
    """Of rare strata too, which apportionment would never give a seat."""
    rows = rated(30)
    counts = dict.fromkeys(rows["utterance_id"], 0)
    for seed in range(600):
        for name in draw_rated_subset(rows, ("arousal", "valence"), 5, np.random.default_rng(seed)):
            counts[name] += 1
    # 100 expected, with a standard deviation of 9.
    assert min(counts.values()) > 60 and max(counts.values()) < 140


def test_order_of_rows_does_not_matter_and_resamplings_differ() -> None:
    rows = rated(40)
    first, second = (
        draw_rated_subset(table, ("arousal",), 10, np.random.default_rng(3)) for table in (rows, rows.reverse())
    )
    assert first == second
    splits = rows.with_columns(
        partition=pl.lit(0), fold=pl.lit(0), split=pl.lit("train"), label=pl.lit(None, pl.String)
    )
    drawn = draw_subsets(splits, make_task(subsets=(10, "full"), resamplings=3), 10, "t")
    parts = [set(part["utterance_id"]) for part in drawn.partition_by("resampling")]
    assert [len(part) for part in parts] == [10, 10, 10] and parts[0] != parts[1]
    with pytest.raises(DataError, match="a subset of 41 clips is larger than the 40"):
        draw_subsets(splits, make_task(subsets=(41,)), 41, "t")


def test_attribute_that_another_test_corpus_is_not_rated_for_is_noted() -> None:
    manifests, labels = make_tables(GOOD)
    other = {"utterance_id": pl.col("utterance_id").str.replace("talk", "other"), "valence": pl.lit(2.0)}
    manifests["other"] = manifests["talk"].with_columns(other["utterance_id"])
    labels["other"] = labels["talk"].with_columns(**other)
    task = make_task(test_also=["other"])
    splits = build_task("t", task, manifests, labels)
    notes = list_task_notes("t", task, splits, ["default"])
    assert "other has fewer than two different values of valence: its mean CCC leaves that out" in notes


def test_classes_settings_of_a_task_with_attributes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"missing_classes need classes"):
        make_task(missing_classes="report")
