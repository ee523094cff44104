from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from emoadapt.listing.speakers import group_speakers


def test_an_exact_division_is_found():
    # By hand: of 20 clips 14, 3, 3 are wanted; {7, 7}, {3}, {2, 1} meets it and no other division does as well.
    clips = {"a": 7, "b": 7, "c": 3, "d": 2, "e": 1}
    for seed in range(20):
        totals = [
            sum(clips[s] for s in group)
            for group in group_speakers(clips, (0.7, 0.15, 0.15), np.random.default_rng(seed))
        ]
        assert totals == [14, 3, 3]


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_within_two_moved_clips_of_the_best_division(seed):
    rng = np.random.default_rng(seed)
    clips = {f"s{i}": int(n) for i, n in enumerate(rng.integers(5, 40, size=9))}
    shares = (0.6, 0.2, 0.2)
    wanted = np.array(shares) * sum(clips.values())
    sizes = np.array(list(clips.values()))
    best = min(
        float(np.abs([sizes[np.array(choice) == g].sum() - wanted[g] for g in range(3)]).sum())
        for choice in product(range(3), repeat=9)
        if len(set(choice)) == 3
    )
    groups = group_speakers(clips, shares, np.random.default_rng(seed))
    found = float(np.abs([sum(clips[s] for s in group) - wanted[g] for g, group in enumerate(groups)]).sum())
    assert best <= found + 1e-9
    assert found - best <= 4


def test_every_group_has_speakers_and_every_speaker_a_group():
    for seed in range(20):
        groups = group_speakers({"loud": 1000, "a": 1, "b": 1, "c": 1}, (0.25,) * 4, np.random.default_rng(seed))
        assert sorted(speaker for group in groups for speaker in group) == ["a", "b", "c", "loud"]
        assert all(groups)
