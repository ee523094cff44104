"""Division of speakers into disjoint groups of given sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

ATTEMPTS = 8
"""Random divisions of which `group_speakers` keeps the nearest."""


def group_speakers(clips: Mapping[str, int], shares: Sequence[float], rng: np.random.Generator) -> list[list[str]]:
    """Divide speakers into groups whose numbers of clips are near the wanted shares.

    Speakers are taken in random order, each into the group that lacks most; then single speakers are moved and pairs
    swapped between groups while the summed distance from the wanted numbers shrinks. The nearest of `ATTEMPTS` such
    divisions is kept. No group stays empty.

    Args:
        clips: speaker -> number of clips, at least as many speakers as shares.
        shares: wanted share of the clips per group, summing to 1.
        rng: decides which of many equally near divisions it is.

    Returns:
        One sorted list of speakers per share.
    """
    wanted = np.asarray(shares) * sum(clips.values())
    divisions = [_divide(clips, wanted, rng) for _ in range(ATTEMPTS)]
    # Rounding lets the first of equally near divisions win.
    nearest = min(divisions, key=lambda groups: round(float(np.abs(_excess(groups, clips, wanted)).sum()), 6))
    return [sorted(group) for group in nearest]


def deal_speakers(clips: Mapping[str, int], shares: Sequence[float], rng: np.random.Generator) -> list[list[str]]:
    """Divide speakers at random: in random order, each into the group that lacks most clips. No group stays empty.

    Arguments and result as of `group_speakers`, whose groups are nearer to the shares, and with few speakers often the same.
    """
    return [sorted(group) for group in _deal(clips, np.asarray(shares) * sum(clips.values()), rng)]


def _divide(clips: Mapping[str, int], wanted: np.ndarray, rng: np.random.Generator) -> list[list[str]]:
    groups = _deal(clips, wanted, rng)
    while _improve(groups, clips, wanted):
        pass
    return groups


def _deal(clips: Mapping[str, int], wanted: np.ndarray, rng: np.random.Generator) -> list[list[str]]:
    speakers = sorted(clips)
    groups: list[list[str]] = [[] for _ in wanted]
    lacking = wanted.copy()
    for i in rng.permutation(len(speakers)):
        emptiest = int(np.argmax(lacking))
        groups[emptiest].append(speakers[i])
        lacking[emptiest] -= clips[speakers[i]]
    for group in groups:
        if not group:
            group.append(max(groups, key=len).pop())
    return groups


def _excess(groups: list[list[str]], clips: Mapping[str, int], wanted: np.ndarray) -> np.ndarray:
    return np.array([sum(clips[speaker] for speaker in group) for group in groups]) - wanted


def _improve(groups: list[list[str]], clips: Mapping[str, int], wanted: np.ndarray) -> bool:
    """Make the best move or swap of speakers between two groups; False when none helps."""
    excess = _excess(groups, clips, wanted)
    best_gain, best = 1e-9, None
    for a in range(len(groups)):
        for b in range(a + 1, len(groups)):
            # The last entry, 0, is nobody: against it a swap is a move, which must not empty a group.
            from_a = np.array([clips[speaker] for speaker in groups[a]] + [0.0])
            from_b = np.array([clips[speaker] for speaker in groups[b]] + [0.0])
            moved = from_a[:, None] - from_b[None, :]
            gain = abs(excess[a]) + abs(excess[b]) - np.abs(excess[a] - moved) - np.abs(excess[b] + moved)
            if len(groups[a]) == 1:
                gain[0, -1] = 0
            if len(groups[b]) == 1:
                gain[-1, 0] = 0
            i, j = divmod(int(np.argmax(gain)), gain.shape[1])
            if gain[i, j] > best_gain:
                best_gain, best = float(gain[i, j]), (a, b, i, j)
    if best is None:
        return False
    a, b, i, j = best
    leaving_a, leaving_b = groups[a][i : i + 1], groups[b][j : j + 1]
    groups[a] = [speaker for speaker in groups[a] if speaker not in leaving_a] + leaving_b
    groups[b] = [speaker for speaker in groups[b] if speaker not in leaving_b] + leaving_a
    return True
