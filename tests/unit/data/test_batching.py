"""Bucketed batches."""

import numpy as np
import pytest
import torch

from emoadapt.data.batching import BucketedBatches, collate_clips, load_batches
from emoadapt.data.clips import Clip, ClipDataset, VectorDataset
from emoadapt.data.streams import AUDIO, FRONTEND, LAYERS, Stream

SOUNDS = {"audio": AUDIO}


def sound(name: str, length: int = 2, epoch: int = 0) -> Clip:
    return Clip(name, {"audio": torch.ones(length)}, epoch=epoch)


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


@pytest.mark.parametrize(("seconds", "most"), [(4.0, 203), (30.0, 30)])
def test_batches_by_seconds_are_never_longer_and_an_epoch_has_as_many_as_another(seconds: float, most: int) -> None:
    lengths = make_lengths()
    order = BucketedBatches(lengths, 32, seed=3, seconds=seconds)
    counts = []
    for epoch in range(5):
        order.set_epoch(epoch)
        batches = list(order)
        assert sorted(name for batch in batches for name, _ in batch) == sorted(lengths)
        padded = [max(lengths[name] for name, _ in batch) * len(batch) / 16_000 for batch in batches]
        assert all(value <= seconds or len(batch) == 1 for value, batch in zip(padded, batches, strict=True))
        counts.append(len(batches))
    assert counts == [len(order)] * 5
    # 203 clips of 3.7 s are 25 batches of 30 s
    assert len(order) <= most


def test_batches_by_seconds_hold_more_of_the_shorter_clips() -> None:
    lengths = {"a": 16_000, "b": 16_000, "c": 16_000, "d": 40_000, "e": 32_000, "f": 90_000}
    batches = [[name for name, _ in batch] for batch in BucketedBatches(lengths, 1, seconds=5.0)]
    assert batches == [["a", "b", "c"], ["e", "d"], ["f"]]


def test_draws_are_keyed_by_seed_epoch_and_utterance() -> None:
    clips = [sound("c/a", epoch=3), sound("c/b", epoch=3)]
    batch = collate_clips(clips, SOUNDS, seed=7)
    assert [key[:2] for key in batch.draws] == [[7, 3], [7, 3]]
    assert batch.draws == collate_clips(clips[::-1], SOUNDS, seed=7).draws[::-1]
    assert batch.draws[0] != batch.draws[1]
    assert collate_clips(clips, SOUNDS).draws == []


def test_loader_draws_for_the_epoch_in_training_only() -> None:
    class Clips(ClipDataset):
        def __getitem__(self, key: tuple[str, int]) -> Clip:
            return sound(key[0], epoch=key[1])

    clips = Clips(SOUNDS, lambda _: {})
    training = load_batches(clips, {"a": 2}, 1, seed=7)
    training.batch_sampler.set_epoch(4)
    assert next(iter(training)).draws[0][:2] == [7, 4]
    assert next(iter(load_batches(clips, {"a": 2}, 1))).draws == []


@pytest.mark.parametrize("seed", [None, 5])
def test_vectors_come_in_the_batches_of_a_loader_that_goes_clip_by_clip(seed: int | None) -> None:
    random = np.random.default_rng(0)
    vectors = {f"c/{i:02}": random.normal(size=(2, 3)).astype(np.float32) for i in range(23)}
    dataset = VectorDataset({"layers": vectors}, lambda name: {"label": torch.tensor(int(name[2:]))})
    lengths = dict.fromkeys(list(vectors)[1:], 1)
    fast, order = load_batches(dataset, lengths, 5, seed), BucketedBatches(lengths, 5, seed)
    assert len(fast) == 5
    for epoch in range(3):
        fast.batch_sampler.set_epoch(epoch)
        order.set_epoch(epoch)
        slow = [collate_clips([dataset[key] for key in keys], dataset.streams, seed) for keys in order]
        for found, expected in zip(fast, slow, strict=True):
            assert found.utterance_ids == expected.utterance_ids and found.draws == expected.draws
            assert found.streams["layers"].equal(expected.streams["layers"]) and not found.lengths
            assert found.values["label"].equal(expected.values["label"])


def test_frames_are_padded_and_audio_is_not() -> None:
    values = {"label": torch.tensor(1)}
    clips = [Clip("a", {"x": torch.ones(2, 3)}, values), Clip("b", {"x": torch.ones(4, 3)}, values)]
    batch = collate_clips(clips, {"x": FRONTEND})
    frames = batch.streams["x"]
    assert frames.shape == (2, 4, 3)
    assert frames[0, 2:].abs().sum() == 0
    assert batch.lengths["x"].tolist() == [2, 4]
    assert batch.values["label"].tolist() == [1, 1]
    audio = collate_clips([sound("a", 2), sound("b", 4)], SOUNDS)
    assert not audio.lengths
    assert [len(clip) for clip in audio.streams["audio"]] == [2, 4]


def test_streams_of_a_clip_are_put_together_each_by_its_layout() -> None:
    """Tokens are padded like frames; vectors are stacked."""
    streams = {"text": Stream("words", "tokens", "tokens"), "face": Stream("face", "face", "vector"), "deep": LAYERS}
    clips = [
        Clip(name, {"text": torch.arange(1, n + 1), "face": torch.full((2,), n), "deep": torch.ones(3, 2)})
        for name, n in (("a", 1), ("b", 3))
    ]
    batch = collate_clips(clips, streams)
    assert batch.streams["text"].tolist() == [[1, 0, 0], [1, 2, 3]]
    assert batch.streams["face"].tolist() == [[1, 1], [3, 3]]
    assert batch.streams["deep"].shape == (2, 3, 2)
    assert {role: lengths.tolist() for role, lengths in batch.lengths.items()} == {"text": [1, 3], "deep": [3, 3]}
    moved = batch.to(torch.device("cpu"))
    assert {role: value.shape for role, value in moved.streams.items()} == {
        role: value.shape for role, value in batch.streams.items()
    }


def test_an_epoch_of_so_many_batches_continues_where_the_last_one_ended() -> None:
    lengths = {f"c/{i}": 100 + i for i in range(10)}
    usual, short = BucketedBatches(lengths, 3, seed=1), BucketedBatches(lengths, 3, seed=1, n_batches=6)
    assert (len(usual), len(short)) == (4, 6)
    passes, found = [], []
    for epoch in range(3):
        usual.set_epoch(epoch)
        passes += list(usual)
    for epoch in range(2):
        short.set_epoch(epoch)
        found += list(short)
    # Twelve batches are three passes; a clip's key names the pass, so that its crop differs between two in one epoch.
    assert found == passes
    short.set_epoch(1)
    short.skip = 4
    assert list(short) == passes[10:]
