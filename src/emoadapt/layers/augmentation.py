"""SpecAugment on a transformer's input (Park et al. 2019), as in wav2vec 2.0.

A clip's masks follow from a key of its own, made of seed, epoch and utterance: they are the same in every batch, and models
of a pair, which share the seed, see the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from emoadapt.layers.settings import SpecAugment

_STREAM = 1
"""Appended to a clip's key, so that its masks are drawn independently of its crop."""


def mask_spans(
    hidden: Tensor, lengths: Tensor, draws: Sequence[Sequence[int]], settings: SpecAugment, fill: Tensor | None
) -> Tensor:
    """Replace spans of frames by `fill`, and set spans of channels to zero.

    Args:
        hidden: (batch, n_frames, width).
        lengths: (batch,) valid frames; spans lie within them.
        draws: key of each clip's `numpy.random.default_rng`.
        settings: shares and lengths of spans.
        fill: (width,) stands for a masked frame; None = zeros.

    Returns:
        (batch, n_frames, width), a new tensor.
    """
    _, n_frames, width = hidden.shape
    frames = np.zeros((len(draws), n_frames), dtype=bool)
    channels = np.zeros((len(draws), width), dtype=bool)
    for row, (key, length) in enumerate(zip(draws, lengths.tolist(), strict=True)):
        random = np.random.default_rng([*key, _STREAM])
        frames[row, :length] = draw_spans(length, settings.time_share, settings.time_frames, random)
        channels[row] = draw_spans(width, settings.channel_share, settings.channel_width, random)
    stand_in = torch.zeros_like(hidden[0, 0]) if fill is None else fill.to(hidden.dtype)
    hidden = torch.where(torch.from_numpy(frames).to(hidden.device)[..., None], stand_in, hidden)
    return hidden.masked_fill(torch.from_numpy(channels).to(hidden.device)[:, None], 0.0)


def draw_spans(n: int, share: float, length: int, random: np.random.Generator) -> np.ndarray:
    """(n,) boolean mask of spans at different places: share * n / length of them on average; none if n < length."""
    # The fraction of a span is one more span as often as it says.
    count = int(share * n / length + random.random())
    places = max(n - length + 1, 0)
    mask = np.zeros(n, dtype=bool)
    for start in random.choice(places, min(count, places), replace=False):
        mask[start : start + length] = True
    return mask
