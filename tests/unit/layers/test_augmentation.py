"""SpecAugment's masks."""

import numpy as np
import torch

from emoadapt.layers.augmentation import draw_spans, mask_spans
from emoadapt.layers.settings import SpecAugment

SETTINGS = SpecAugment(time_share=0.3, time_frames=5, channel_share=0.25, channel_width=4)


def mask(lengths: list[int], draws: list[list[int]], fill: torch.Tensor | None = None) -> torch.Tensor:
    return mask_spans(torch.ones(len(lengths), max(lengths), 16), torch.tensor(lengths), draws, SETTINGS, fill)


def test_a_clips_masks_follow_from_its_key_and_length_alone() -> None:
    together = mask([40, 90], [[1, 0, 7], [1, 0, 8]])
    assert torch.equal(together[:1, :40], mask([40], [[1, 0, 7]]))
    assert torch.equal(together[1:], mask([90], [[1, 0, 8]]))
    assert not torch.equal(together[:1, :40], mask([40], [[1, 1, 7]]))
    assert not torch.equal(together[:1, :40], mask([40], [[2, 0, 7]]))


def test_frames_become_the_stand_in_and_channels_zero() -> None:
    masked = mask([90], [[1, 0, 7]], torch.full((16,), 5.0))[0]
    frames, channels = (masked == 5).any(dim=1), (masked == 0).all(dim=0)
    assert frames.any() and channels.any()
    assert (masked[frames][:, ~channels] == 5).all()
    assert (masked[~frames][:, ~channels] == 1).all()


def test_padding_is_not_masked() -> None:
    masked = mask([10, 90], [[1, 0, 7], [1, 0, 8]], torch.full((16,), 5.0))[0]
    assert not (masked[10:] == 5).any()


def test_share_is_met_on_average_and_spans_lie_within() -> None:
    random = np.random.default_rng(0)
    masks = [draw_spans(100, 0.2, 10, random) for _ in range(2000)]
    # 2 spans a mask, at different of 91 places; two overlap by 10 - d frames at distance d, in all 90 of 100 * 91 * 90 / 2 pairs
    overlap = sum((10 - d) * (91 - d) for d in range(1, 10)) / (91 * 90 / 2)
    assert abs(np.mean(masks) - (20 - overlap) / 100) < 0.003
    assert draw_spans(9, 0.9, 10, random).sum() == 0
    assert np.any(masks, axis=0).all()


def test_nothing_is_masked_at_a_share_of_zero() -> None:
    assert not any(draw_spans(50, 0.0, 5, np.random.default_rng(i)).any() for i in range(50))
