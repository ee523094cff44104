from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import Task
from emoadapt.errors import DataError
from emoadapt.tasks.subsets import apportion, draw_nested, draw_subset, draw_subsets


def make_labels(counts):
    ids = [(f"c/{label}{i}", label) for label, n in counts.items() for i in range(n)]
    return pl.DataFrame(ids, ["utterance_id", "label"], orient="row")


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        # Exact: 10/20 of each.
        ({"a": 10, "b": 6, "c": 4}, 10, {"a": 5, "b": 3, "c": 2}),
        # 4.7 1.6 1.7 of 8 (47:16:17): floors 4 1 1, two seats by remainder .7 (a: larger class) and .7 (c).
        ({"a": 47, "b": 16, "c": 17}, 8, {"a": 5, "b": 1, "c": 2}),
        # 9.4 3.2 3.18 2.4 1.2 0.62 of 20: floors 9 3 3 2 1 0; seats to f (.62), then a and d tie at .4: the larger.
        (
            {"a": 470, "b": 160, "c": 159, "d": 120, "e": 60, "f": 31},
            20,
            {"a": 10, "b": 3, "c": 3, "d": 2, "e": 1, "f": 1},
        ),
        # Equal remainders of 1.5 and 1.5: the name decides.
        ({"b": 5, "a": 5}, 3, {"a": 2, "b": 1}),
        # 4.5 and 1.5: the larger class, whatever its name.
        ({"a": 3, "b": 9}, 6, {"a": 1, "b": 5}),
        ({"a": 7, "b": 3}, 10, {"a": 7, "b": 3}),
    ],
)
def test_largest_remainders_worked_by_hand(counts, size, expected):
    assert apportion(counts, size) == expected


@pytest.mark.parametrize("seed", range(40))
def test_subset_has_exact_size_and_every_quota_is_within_one(seed):
    rng = np.random.default_rng(seed)
    counts = {name: int(n) for name, n in zip("abcde", rng.integers(20, 200, size=5), strict=True)}
    total = sum(counts.values())
    size = int(rng.integers(60, total + 1))
    chosen = draw_subset(make_labels(counts), size, rng)
    assert len(chosen) == len(set(chosen)) == size
    drawn = Counter(clip[2] for clip in chosen)
    assert all(abs(drawn[name] - counts[name] * size / total) < 1 for name in counts)


def test_draw_follows_the_generator_and_not_the_order_of_rows():
    labels = make_labels({"a": 50, "b": 30})
    first = draw_subset(labels, 16, np.random.default_rng(1))
    assert first == draw_subset(labels.sample(fraction=1, shuffle=True, seed=5), 16, np.random.default_rng(1))
    assert first != draw_subset(labels, 16, np.random.default_rng(2))
    assert first == sorted(first)


def test_every_clip_of_a_class_is_drawn_equally_often():
    labels = make_labels({"a": 10, "b": 10})
    rng = np.random.default_rng(0)
    times = Counter(clip for _ in range(500) for clip in draw_subset(labels, 4, rng))
    # 100 expected each; five binomial standard deviations are 45.
    assert set(times) == set(labels["utterance_id"])
    assert all(55 < n < 145 for n in times.values())


def test_subset_larger_than_the_training_part_is_refused():
    with pytest.raises(DataError, match=r"a subset of 11 clips is larger than the 10 training clips; set at most 10"):
        draw_subset(make_labels({"a": 6, "b": 4}), 11, np.random.default_rng(0))


def test_size_that_the_message_asks_for_is_enough():
    # Hare quotas of the usual textbook example, 4.7 1.6 1.59 1.2 0.6 0.31 of 10: the last gets nothing.
    with pytest.raises(
        DataError, match=r"a subset of 10 of 1000 training clips would contain no clip of class f; 33 clips"
    ):
        apportion({"a": 470, "b": 160, "c": 159, "d": 120, "e": 60, "f": 31}, 10)
    counts = {"a": 90, "b": 9, "c": 1}
    with pytest.raises(DataError, match=r"no clip of class c; 100 clips or more give every class its share"):
        apportion(counts, 20)
    assert apportion(counts, 100) == counts
    counts = {"a": 17, "b": 3}
    with pytest.raises(DataError, match=r"no clip of class b; 7 clips or more"):
        apportion(counts, 2)
    assert apportion(counts, 7) == {"a": 6, "b": 1}


@pytest.fixture
def splits():
    """Two folds of 40 training clips each, and clips of other parts that must never be drawn."""
    labels = make_labels({"anger": 30, "neutral": 50}).with_row_index("n")
    rows = []
    for fold in (0, 1):
        part = pl.when(pl.col("n") % 2 == fold).then(pl.lit("train")).otherwise(pl.lit("test"))
        rows.append(labels.select("utterance_id", "label", split=part, fold=pl.lit(fold, dtype=pl.Int32)))
    return pl.concat(rows).with_columns(partition=pl.lit(0, dtype=pl.Int32))


def make_task(**values):
    return Task.model_validate({"corpus": "c", "classes": ["anger", "neutral"], "split": {"by": "official"}, **values})


def test_full_is_every_training_clip_once(splits):
    drawn = draw_subsets(splits, make_task(resamplings=5), "full", "t")
    assert drawn.schema == pl.DataFrame(schema.SUBSETS.empty_table()).schema
    assert set(drawn["resampling"]) == {0}
    train = splits.filter(split="train")
    assert drawn.select("fold", "utterance_id").rows() == sorted(train.select("fold", "utterance_id").rows())


def test_every_fold_and_resampling_draws_its_own_training_clips(splits):
    drawn = draw_subsets(splits, make_task(resamplings=3), 8, "t")
    assert drawn.schema == pl.DataFrame(schema.SUBSETS.empty_table()).schema
    train = splits.filter(split="train").select("fold", "utterance_id", "label")
    assert drawn.join(train, on=["fold", "utterance_id", "label"], how="anti").is_empty()
    groups = drawn.partition_by("fold", "resampling", as_dict=True)
    assert set(groups) == {(fold, resampling) for fold in (0, 1) for resampling in range(3)}
    assert all(Counter(group["label"]) == {"anger": 3, "neutral": 5} for group in groups.values())
    assert len({tuple(group["utterance_id"]) for group in groups.values()}) == 6


def test_draws_do_not_depend_on_each_other(splits):
    few = draw_subsets(splits, make_task(resamplings=2), 8, "t")
    many = draw_subsets(splits, make_task(resamplings=5), 8, "t")
    assert few.equals(many.filter(pl.col("resampling") < 2))
    assert few.filter(fold=1).equals(draw_subsets(splits.filter(fold=1), make_task(resamplings=2), 8, "t"))
    assert not few.equals(draw_subsets(splits, make_task(resamplings=2), 8, "other"))
    assert not few.equals(draw_subsets(splits, make_task(resamplings=2), 8, "t", seed=1))


def test_each_partition_draws_its_own_and_the_first_as_without_others(splits):
    twice = pl.concat([splits, splits.with_columns(partition=pl.lit(1, dtype=pl.Int32))])
    task = make_task(split={"by": "folds"}, partitions=2, resamplings=2)
    drawn = draw_subsets(twice, task, 8, "t")
    assert drawn.filter(partition=0).equals(draw_subsets(splits, make_task(resamplings=2), 8, "t"))
    groups = drawn.partition_by("partition", "fold", "resampling", as_dict=True)
    assert len(groups) == 8 == len({tuple(group["utterance_id"]) for group in groups.values()})
    # Independently: the seed of partition 1, fold 1, resampling 0 of the study's seed 0.
    seed = int.from_bytes(hashlib.sha256(b"t/8/1/0/0/1").digest()[:16], "big")
    train = splits.filter(split="train", fold=1)
    assert groups[1, 1, 0]["utterance_id"].to_list() == draw_subset(train, 8, np.random.default_rng(seed))


@pytest.mark.parametrize("draws", ["independent", "nested"])
def test_trials_of_one_division_share_their_draw(splits, draws):
    """Tested on the parts of another task, trials differ in these and in the seed alone."""
    trials = pl.concat([splits.with_columns(partition=pl.lit(number, dtype=pl.Int32)) for number in range(3)])
    drawn = draw_subsets(trials, make_task(test_also={"d": "test"}, trials="paired", draws=draws), 8, "t")
    first, *others = (drawn.filter(partition=number).drop("partition") for number in range(3))
    assert first.height == 16
    assert all(other.equals(first) for other in others)


def test_problem_names_task_and_fold(splits):
    with pytest.raises(DataError, match=r"task t, partition 2, fold 0: a subset of 41 clips"):
        draw_subsets(splits.with_columns(partition=pl.lit(2)), make_task(), 41, "t")
    with pytest.raises(
        DataError, match=r"task t, fold 0: a subset of 41 clips .* 40 training clips; .* correct tasks\.t\.subsets"
    ):
        draw_subsets(splits, make_task(), 41, "t")
    with pytest.raises(DataError, match=r"task t: its splits hold no training clips"):
        draw_subsets(splits.filter(split="test"), make_task(), 4, "t")


def test_nested_quotas_worked_by_hand():
    """Webster's divisors of 6, 3 and 1 clips: places 1/12 3/12 ... of a, 1/6 3/6 5/6 of b, 1/2 of c; at a tie the larger class."""
    labels = make_labels({"a": 6, "b": 3, "c": 1})
    order = "aba" + "a" + "bc" + "a" + "a" + "b" + "a"
    rng = [np.random.default_rng(0) for _ in range(11)]
    drawn = [Counter(clip[2] for clip in draw_nested(labels, n, rng[n], every=False)) for n in range(11)]
    assert drawn == [Counter(order[:n]) for n in range(11)]


def test_a_smaller_nested_draw_is_part_of_a_larger_one():
    splits = make_labels({"a": 30, "b": 17, "c": 9}).with_columns(
        partition=pl.lit(0), fold=pl.lit(0, pl.Int32), split=pl.lit("train"), speaker=pl.lit("s"), corpus=pl.lit("c")
    )
    task = make_task(resamplings=3, draws="nested")
    sizes = [12, 20, 21, 40, 56]
    drawn = [draw_subsets(splits, task, size, "t").partition_by("resampling") for size in sizes]
    for smaller, larger in itertools.pairwise(drawn):
        for few, many in zip(smaller, larger, strict=True):
            assert set(few["utterance_id"]) < set(many["utterance_id"])
    assert [len(draw) for draw in drawn[1]] == [20] * 3
    assert set(drawn[0][0]["utterance_id"]) != set(drawn[0][1]["utterance_id"])


def test_a_nested_draw_without_some_class_is_refused():
    with pytest.raises(DataError, match=r"nested subset of 3 of 22 training clips would contain no clip of class b"):
        draw_nested(make_labels({"a": 20, "b": 2}), 3, np.random.default_rng(0))
