"""The same recording twice, by content and time."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from emoadapt.flow.fingerprints import UNREADABLE
from emoadapt.tasks.overlap import (
    find_overlapping_clips,
    find_partner,
    find_shared_clips,
    group_clips,
    group_overlapping,
)


def clips(*rows):
    kinds = {"utterance_id": pl.String, "fingerprint": pl.String, "start": pl.Float64, "end": pl.Float64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def test_recordings_are_compared_by_content_not_by_name():
    tested = clips(("b/1", "x", None, None), ("b/2", "y", None, None))
    heard = clips(("a/7", "x", None, None), ("a/2", "z", None, None))
    assert set(find_shared_clips(tested, heard)) == {"b/1"}


def test_segments_that_share_half_of_the_shorter_one_are_the_same_recording():
    tested = clips(("b/1", "x", 0.0, 2.0), ("b/2", "x", 2.0, 4.0), ("b/3", "x", 5.0, None))
    heard = clips(("a/1", "x", 1.5, 2.5), ("a/2", "x", 9.0, 9.5), ("a/3", "x", 2.999, 6.0))
    assert set(find_shared_clips(tested, heard)) == {"b/1", "b/2", "b/3"}
    assert set(find_shared_clips(tested, heard[2:])) == {"b/2"}
    assert set(find_shared_clips(tested, clips(("a/4", "x", 3.001, 5.999)))) == set()


def test_turns_that_touch_or_overlap_a_little_are_no_copies():
    """0.1 + 0.2 ends after 0.3 in floats; turns of 2 s that overlap by 50 ms are neighbours."""
    touching = clips(("a/1", "x", 0.2, 0.1 + 0.2), ("a/2", "x", 0.3, 0.4), ("a/3", "x", 0.4, 0.4999999))
    turns = clips(*((f"a/{n}", "x", 2.0 * n, 2.0 * n + 2.05) for n in range(5)))
    for neighbours in (touching, turns):
        assert set(find_shared_clips(neighbours, neighbours)) == set()
        assert group_clips(neighbours)["group"].n_unique() == neighbours.height
    assert group_overlapping(touching)["group"].n_unique() == 3
    assert group_overlapping(turns)["group"].n_unique() == 1


def test_an_utterance_does_not_share_with_itself_nor_one_unreadable_file_with_another():
    same = clips(("a/1", "x", None, None), ("a/2", UNREADABLE, None, None))
    assert set(find_shared_clips(same, same)) == set()
    assert set(find_shared_clips(same, clips(("b/2", UNREADABLE, None, None)))) == set()


def draw_segments(rng, prefix, count):
    """Short segments of three recordings, some open at an end, some of them the same."""
    rows = []
    for number in range(count):
        start = float(rng.integers(0, 40))
        piece = (start, start + float(rng.integers(1, 7)))
        rows.append((f"{prefix}/{number}", f"r{rng.integers(3)}", *(None if rng.random() < 0.05 else t for t in piece)))
    return clips(*rows).with_columns(label=pl.Series(rng.choice(["x", "y"], count)))


def measure(left, right):
    """Shared seconds, and the length of the shorter one."""
    begin, end = (lambda row: row["start"] or 0.0), (lambda row: row["end"] or 1e6)
    shared = min(end(left), end(right)) - max(begin(left), begin(right))
    return shared, min(end(row) - begin(row) for row in (left, right))


def same(left, right):
    """The definition, for one pair of rows."""
    shared, shorter = measure(left, right)
    return left["fingerprint"] == right["fingerprint"] and shared >= shorter / 2


def overlap(left, right):
    return left["fingerprint"] == right["fingerprint"] and measure(left, right)[0] > 0


@pytest.mark.parametrize("seed", range(5))
def test_the_sweep_finds_what_comparing_every_pair_finds(seed):
    rng = np.random.default_rng(seed)
    early, late = draw_segments(rng, "a", 12), draw_segments(rng, "b", 30)
    rows, others = late.to_dicts(), early.to_dicts()
    assert set(find_shared_clips(late, early)) == {r["utterance_id"] for r in rows if any(same(r, o) for o in others)}
    assert set(find_overlapping_clips(late, early)) == {
        r["utterance_id"] for r in rows if any(overlap(r, o) for o in others)
    }
    found = {
        r["utterance_id"]: [o["utterance_id"] for o in rows if same(r, o) and r["label"] != o["label"]] for r in rows
    }
    assert set(find_shared_clips(late, late, "label")) == {name for name, partners in found.items() if partners}
    assert all(find_partner(name, late, "label") == min(partners) for name, partners in found.items() if partners)


@pytest.mark.parametrize(("group", "linked"), [(group_clips, same), (group_overlapping, overlap)])
@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_that_joining_every_pair_gives(seed, group, linked):
    segments = draw_segments(np.random.default_rng(seed), "a", 30)
    expected = {name: {name} for name in segments["utterance_id"]}
    for left, right in combinations(segments.to_dicts(), 2):
        if linked(left, right):
            joined = expected[left["utterance_id"]] | expected[right["utterance_id"]]
            expected |= dict.fromkeys(joined, joined)
    found = group(segments).group_by("group").agg("utterance_id")["utterance_id"].to_list()
    assert {frozenset(names) for names in found} == {frozenset(names) for names in expected.values()}


def test_a_clip_without_a_label_contradicts_no_clip():
    pair = clips(("a/1", "x", None, None), ("a/2", "x", None, None)).with_columns(label=pl.Series(["happy", None]))
    assert set(find_shared_clips(pair, pair, "label")) == set()
    assert set(find_shared_clips(pair, pair)) == {"a/1", "a/2"}


def test_many_segments_of_one_recording_are_compared_without_listing_the_pairs():
    """20,000 copies are 400 million pairs, which would not fit into memory."""
    count = 20_000
    whole = clips(*((f"a/{number}", "x", None, None) for number in range(count)))
    assert len(find_shared_clips(whole, whole)) == count
    assert group_clips(whole)["group"].n_unique() == 1


def test_clips_that_others_link_are_one_group():
    linked = clips(
        ("a/1", "x", 0.0, 2.0), ("a/2", "x", 1.0, 4.0), ("a/3", "x", 2.0, 6.0), ("a/4", "x", 6.0, 7.0),
        ("a/5", "x", 20.0, None), ("b/1", "y", 0.0, 2.0), ("b/2", UNREADABLE, None, None),
    )  # fmt: skip
    groups = dict(group_clips(linked).rows())
    assert groups["a/1"] == groups["a/2"] == groups["a/3"]
    assert len({groups[name] for name in ("a/1", "a/4", "a/5", "b/1")}) == 4
    assert "b/2" not in groups


def test_a_segment_within_a_long_one_is_of_its_group():
    long = clips(("a/1", "x", 0.0, 10.0), ("a/2", "x", 1.0, 2.0), ("a/3", "x", 8.0, 9.0), ("a/4", "x", 10.0, 11.0))
    groups = dict(group_clips(long).rows())
    assert groups["a/1"] == groups["a/2"] == groups["a/3"] != groups["a/4"]


def test_tables_without_rows_share_nothing():
    assert set(find_shared_clips(clips(), clips(("a/1", "x", None, None)))) == set()
    assert set(find_overlapping_clips(clips(), clips(("a/1", "x", None, None)))) == set()
    assert group_clips(clips()).is_empty()
