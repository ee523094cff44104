"""Windows of clips that are longer than a transformer has positions for.

A clip is cut into as few windows as possible, of equal length. Each goes through the transformer alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def cut_windows(n_frames: int, most: int) -> list[int]:
    """Lengths of the windows of a clip of `n_frames` frames, each of at most `most`."""
    size = math.ceil(n_frames / math.ceil(n_frames / most))
    return [min(size, n_frames - begin) for begin in range(0, n_frames, size)]


def split_windows(hidden: Tensor, cuts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Clips (batch, n_frames, dimension) -> their windows (n_windows, longest, dimension) and lengths (n_windows,)."""
    pieces = [part for clip, cut in zip(hidden, cuts, strict=True) for part in clip[: sum(cut)].split(list(cut))]
    return pad_sequence(pieces, batch_first=True), torch.tensor([len(part) for part in pieces])


def join_windows(state: Tensor, cuts: Sequence[Sequence[int]]) -> Tensor:
    """Windows (n_windows, longest, dimension) -> the clips (batch, n_frames, dimension) that they were cut from."""
    windows = iter(state)
    clips = [torch.cat([window[:size] for size, window in zip(cut, windows, strict=False)]) for cut in cuts]
    return pad_sequence(clips, batch_first=True)
