"""Two views of each clip, changed by one of several chains (Ahn et al. 2024, Sec. 3.1.1)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emoadapt.augmentations.base import Augmenter, cut_tokens
from emoadapt.data.batching import Batch, Key, collate_clips
from emoadapt.data.clips import Clip, SignalDataset
from emoadapt.data.streams import Stream

AUGMENTATION = "augmentation"
"""Annotation of a view: number of the chain that made it."""

_ORDER, _CUTOFF = 3, 4
"""Appended to a clip's key, so that the order of its chains, and the tokens that are cut, are drawn independently of other draws."""


class ViewDataset(Dataset[tuple[Clip, Clip]]):
    """Two views of a clip by (utterance, appearance).

    Both views are made by one chain. Appearances are counted in rounds of as many as there are chains; in each round every chain is used
    once, in a random order. All draws follow from seed, appearance, utterance and view.

    Args:
        clips: unchanged clips; their audio and tokens are changed here.
        chains: augmentations of audio.
        seed: seed of all draws.
        cutoff: probability with which each token is set to 0.
    """

    def __init__(self, clips: SignalDataset, chains: Sequence[Augmenter], seed: int, cutoff: float) -> None:
        self.clips, self.chains, self.seed, self.cutoff = clips, chains, seed, cutoff

    def __getitem__(self, key: Key) -> tuple[Clip, Clip]:
        clip, chain = self.clips[key], self.choose_chain(key)
        first, second = (self._change(clip, chain, view) for view in (0, 1))
        return first, second

    def choose_chain(self, key: Key) -> int:
        """Number of the chain that makes both views of an appearance."""
        utterance_id, appearance = key
        turn, place = divmod(appearance, len(self.chains))
        random = np.random.default_rng([self.seed, turn, zlib.crc32(utterance_id.encode()), _ORDER])
        return int(random.permutation(len(self.chains))[place])

    def _change(self, clip: Clip, chain: int, view: int) -> Clip:
        key = [self.seed, clip.epoch, zlib.crc32(clip.utterance_id.encode())]
        streams = {
            role: values
            if role in clip.absent
            else self._change_stream(values, self.clips.streams[role], chain, key, view)
            for role, values in clip.streams.items()
        }
        return replace(clip, streams=streams, values=clip.values | {AUGMENTATION: torch.tensor(chain)})

    def _change_stream(self, values: Tensor, stream: Stream, chain: int, key: Sequence[int], view: int) -> Tensor:
        if stream.layout == "samples":
            return torch.from_numpy(np.ascontiguousarray(self.chains[chain](values.numpy(), key, view)))
        if stream.layout == "tokens":
            return torch.from_numpy(
                cut_tokens(values.numpy(), np.random.default_rng([*key, _CUTOFF, view]), self.cutoff)
            )
        return values


def collate_views(pairs: Sequence[tuple[Clip, Clip]], streams: Mapping[str, Stream], seed: int) -> Batch:
    """Join the first views of n clips, then their second views, into one batch of 2 n rows.

    Args:
        pairs: views of each clip.
        streams: role -> its stream.
        seed: of the clips' `draws`, which differ between the views.
    """
    batch = collate_clips([*(first for first, _ in pairs), *(second for _, second in pairs)], streams, seed)
    n = len(pairs)
    return replace(batch, draws=[*batch.draws[:n], *([*draw, 1] for draw in batch.draws[n:])])
