"""Bucketed batches."""

import numpy as np
import torch

from emoadapt.data.batching import BucketedBatches, collate_clips
from emoadapt.data.clips import Clip


def make_lengths(n: int = 203) -> dict[str, int]:
    """Clip lengths of about 3.7 s, as those of acted corpora."""
    lengths = np.random.default_rng(0).normal(59_000, 12_000, n).clip(16_000).astype(int)
    return {f"c/{i:04}": int(length) for i, length in enumerate(lengths)}


def test_an_epoch_holds_every_clip_once() -> None:
    batches = list(BucketedBatches(make_lengths(), 32, seed=3))
    assert sorted(name for batch in batches for name, _ in batch) == sorted(make_lengths())
    assert sorted(len(batch) for batch in batches) == [11, 32, 32, 32, 32, 32, 32]
    assert len(BucketedBatches(make_lengths(), 32, seed=3)) == 7


def test_order_depends_on_seed_and_epoch_only() -> None:
    lengths = make_lengths()
    turned = dict(reversed(lengths.items()))
    first, second, other = (
        BucketedBatches(lengths, 32, 3),
        BucketedBatches(turned, 32, 3),
        BucketedBatches(lengths, 32, 4),
    )
    assert list(first) == list(second)
    assert list(first) != list(other)
    second.set_epoch(1)
    assert [[name for name, _ in batch] for batch in first] != [[name for name, _ in batch] for batch in second]
    assert {epoch for batch in second for _, epoch in batch} == {1}
    first.set_epoch(1)
    assert list(first) == list(second)


def test_buckets_waste_less_than_random_batches() -> None:
    lengths = make_lengths()
    buckets = BucketedBatches(lengths, 32, seed=0)
    values = np.random.default_rng(1).permutation(list(lengths.values()))
    random = [values[i : i + 32] for i in range(0, len(values), 32)]
    waste = 1 - values.sum() / sum(batch.max() * len(batch) for batch in random)
    assert waste > 0.2
    assert buckets.padding_share < 0.1


def test_evaluation_is_in_order_of_length() -> None:
    lengths = {"a": 5, "b": 3, "c": 4, "d": 3}
    assert list(BucketedBatches(lengths, 3)) == [[("b", 0), ("d", 0), ("c", 0)], [("a", 0)]]
    assert BucketedBatches(lengths, 3).padding_share == 1 - 15 / (4 * 3 + 5)


def test_frames_are_padded_and_audio_is_not() -> None:
    values = {"label": torch.tensor(1)}
    batch = collate_clips([Clip("a", torch.ones(2, 3), values), Clip("b", torch.ones(4, 3), values)])
    assert batch.frames is not None
    assert batch.frames.shape == (2, 4, 3)
    assert batch.frames[0, 2:].abs().sum() == 0
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [2, 4]
    assert batch.values["label"].tolist() == [1, 1]
    audio = collate_clips([Clip("a", torch.ones(2), values), Clip("b", torch.ones(4), values)])
    assert audio.frames is None
    assert [len(clip) for clip in audio.audio] == [2, 4]
