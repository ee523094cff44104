"""Leaks found by sorting are those that a join of every pair of segments finds, on random segments."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.tasks import contradictions, leaks
from emoadapt.tasks.leaks import describe_clips, find_leaks
from emoadapt.tasks.overlap import EMPTY, UNREADABLE, find_overlapping_clips, find_shared_clips

MANIFEST, SPLITS = (dict(pl.DataFrame(table.empty_table()).schema) for table in (schema.MANIFEST, schema.SPLITS))
STUDY = {
    "study": "s",
    "corpora": {name: {"importer": "csv", "root": name, "file": "a.csv"} for name in ("c", "d", "films")},
    "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
    "adaptations": {"adapted": {"corpora": ["films", "c"], "objectives": {"egemaps": 1.0}}},
    "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "official"}, "test_also": ["d"]}},
}
LATEST = 10**9
"""ms; where a segment without an end does."""
CLIPS = {
    "utterance_id": pl.String,
    "fingerprint": pl.String,
    "start": pl.Float64,
    "end": pl.Float64,
    "label": pl.String,
}


def join_pairs(clips, others, differing="utterance_id"):
    """Every pair of two segments of one file, with `shared` and `shorter` (ms): memory grows with the square."""
    times = [(pl.col(name) * 1000).round().cast(pl.Int64) for name in ("start", "end")]
    left, right = (
        frame.filter(~pl.col("fingerprint").is_in([UNREADABLE, EMPTY]))
        .select("utterance_id", "fingerprint", times[0].fill_null(0), times[1].fill_null(LATEST), d=pl.col(differing))
        .with_columns(end=pl.max_horizontal("end", pl.col("start") + 1))
        for frame in (clips, others)
    )
    pairs = left.join(right, on="fingerprint", suffix="_other").filter(pl.col("d") != pl.col("d_other"))
    first, last = pl.max_horizontal("start", "start_other"), pl.min_horizontal("end", "end_other")
    length = pl.min_horizontal(pl.col("end") - pl.col("start"), pl.col("end_other") - pl.col("start_other"))
    return pairs.with_columns(shared=last - first, shorter=length)


def find_shared_pairs(clips, others, differing="utterance_id"):
    pairs = join_pairs(clips, others, differing)
    return pairs.filter(pl.col("shared") * 2 >= pl.col("shorter"))["utterance_id"].unique()


def find_overlapping_pairs(clips, others):
    # An utterance overlaps with itself, which `find_leaks` calls a copy.
    same = clips.join(others, on="utterance_id", how="semi")
    same = same.filter(~pl.col("fingerprint").is_in([UNREADABLE, EMPTY]))
    pairs = join_pairs(clips, others).filter(pl.col("shared") > 0)
    return pl.concat([pairs["utterance_id"], same["utterance_id"]]).unique()


def draw_segments(rng, prefix, count):
    """Segments of few files that touch, nest, are equal, open at either end, null, of no length, or below a millisecond."""
    marks = np.round(rng.integers(0, 12, size=4) * 0.25, 3)
    rows = []
    for number in range(count):
        start = float(rng.choice(marks) if rng.random() < 0.6 else rng.integers(0, 3000) / 1000)
        length = float(rng.choice([0.0, 0.0004, 0.0006, 0.001, 0.25, 0.5, 1.0, 2.0]))
        ends = None if rng.random() < 0.1 else start, None if rng.random() < 0.1 else start + length
        file = str(rng.choice(["f0", "f1", "f2", EMPTY, UNREADABLE], p=[0.5, 0.25, 0.15, 0.05, 0.05]))
        label = None if rng.random() < 0.1 else str(rng.choice(["x", "y"]))
        rows.append((f"{prefix}/{number:02d}", file, *ends, label))
    return pl.DataFrame(rows, schema=CLIPS, orient="row")


@pytest.mark.parametrize("seed", range(60))
def test_sorting_finds_what_joining_every_pair_finds(seed):
    rng = np.random.default_rng(seed)
    late = draw_segments(rng, "b", int(rng.integers(1, 40)))
    early = pl.concat([draw_segments(rng, "a", int(rng.integers(0, 20))), late.head(int(rng.integers(0, 3)))])
    for others in (early, late):
        for differing in ("utterance_id", "label"):
            found = find_shared_clips(late, others, differing)
            assert set(found) == set(find_shared_pairs(late, others, differing)) and found.is_unique().all()
        assert set(find_overlapping_clips(late, others)) == set(find_overlapping_pairs(late, others))


def draw_task(rng, count):
    """Manifests of the corpora of a task, and its parts in two folds of two partitions."""
    segments = {name: draw_segments(rng, name, count) for name in ("c", "d", "films")}
    who = pl.Series("speaker", rng.choice(["s0", "s1", "s2", None], count).tolist(), dtype=pl.String)
    words = rng.choice(["yes", "the cat is out", "The cat is OUT!", None], count).tolist()
    said = pl.Series("transcript", words, dtype=pl.String)
    empty = pl.DataFrame(schema=MANIFEST)
    manifests = {
        name: pl.concat([empty, frame.drop("label").with_columns(who, said, media=pl.lit("m.wav"))], how="diagonal")
        for name, frame in segments.items()
    }
    tested = pl.concat([segments["c"], segments["d"]]).select("utterance_id", "label")
    tested = tested.with_columns(corpus=pl.col("utterance_id").str.split("/").list.first())
    parts = []
    for partition, fold in ((0, 0), (0, 1), (1, 0)):
        drawn = pl.Series("split", rng.choice(["train", "dev", "test"], tested.height))
        rows = tested.with_columns(
            drawn, partition=pl.lit(partition, SPLITS["partition"]), fold=pl.lit(fold, SPLITS["fold"])
        )
        parts.append(rows.filter((pl.col("corpus") == "c") | (pl.col("split") == "test")))
    splits = pl.concat([pl.DataFrame(schema=SPLITS), *parts], how="diagonal")
    return splits.with_columns(speaker=pl.lit("s0")), manifests


@pytest.mark.parametrize("seed", range(10))
def test_the_table_of_leaks_is_that_of_joining_every_pair(seed, monkeypatch):
    study = load_study(STUDY)
    splits, manifests = draw_task(np.random.default_rng(seed), 40)
    arguments = "t", study.tasks["t"], splits, describe_clips(study, manifests), {"adapted": ["films", "c"]}
    found = find_leaks(*arguments)
    for module in (leaks, contradictions):
        monkeypatch.setattr(module, "find_shared_clips", find_shared_pairs)
    monkeypatch.setattr(leaks, "find_overlapping_clips", find_overlapping_pairs)
    assert found.equals(find_leaks(*arguments))
    counts = dict(found.group_by("kind").agg(pl.col("count").sum()).rows())
    assert min(counts.values()) > 0, "every kind of leak is there"
