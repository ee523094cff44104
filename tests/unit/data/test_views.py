"""Two views of each clip, and passes over source and target in turn."""

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from emoadapt.augmentations.ahn2024 import Config as Chain
from emoadapt.augmentations.base import Augmenter
from emoadapt.data.batching import AlternatingBatches, BucketedBatches, load_in_order
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.data.views import ViewDataset, collate_views


def order(prefix: str, n: int, size: int = 2) -> BucketedBatches:
    return BucketedBatches({f"{prefix}/{i}": 100 + i for i in range(n)}, size, seed=3)


def name_parts(batches: list) -> str:
    """First letter of the corpus of each batch."""
    return "".join(batch[0][0][0] for batch in batches)


def test_passes_over_source_and_target_alternate() -> None:
    """Four clips in two batches against two in one: ss t, ss t, ..."""
    batches = AlternatingBatches(order("s", 4), order("t", 2))
    assert len(batches) == 3
    assert [name_parts(batches.arrange(epoch)) for epoch in (0, 1)] == ["sst", "sst"]
    for epoch in (0, 1):
        names = [name for batch in batches.arrange(epoch) for name, _ in batch]
        assert sorted(names) == ["s/0", "s/1", "s/2", "s/3", "t/0", "t/1"]
    assert name_parts(AlternatingBatches(order("s", 8), order("t", 4), mixed=True).arrange(0)) == "stssts"
    assert name_parts(AlternatingBatches(order("s", 4), order("t", 4), mixed=True).arrange(0)) == "stst"
    assert name_parts(AlternatingBatches(order("s", 4)).arrange(0)) == "ss"


def test_an_epoch_of_so_many_batches_goes_on_where_the_last_one_ended() -> None:
    whole, short = (AlternatingBatches(order("s", 4), order("t", 2), (2, 2), n_batches=n) for n in (None, 4))
    assert len(whole) == 6 and name_parts(whole.arrange(0)) == "sssstt"
    one_after_another = [batch for epoch in range(3) for batch in short.arrange(epoch)]
    assert one_after_another == [batch for epoch in range(2) for batch in whole.arrange(epoch)]
    short.set_epoch(1)
    short.skip = 3
    assert list(short) == short.arrange(1)[3:]


@pytest.mark.parametrize("times", [1, 2, 4, 6, 8])
def test_each_clip_of_the_duplicated_corpus_appears_so_often_and_in_all_chains(times: int) -> None:
    batches = AlternatingBatches(order("s", 7), order("t", 3), (5, 5 * times))
    views = ViewDataset(None, [None] * 5, seed=3, cutoff=0.15)
    for epoch in (0, 1):
        keys = [key for batch in batches.arrange(epoch) for key in batch]
        counts = Counter(name for name, _ in keys)
        assert {counts[f"s/{i}"] for i in range(7)} == {5} and {counts[f"t/{i}"] for i in range(3)} == {5 * times}
        chains = Counter((name, views.choose_chain((name, place))) for name, place in keys)
        assert all(chains[name, chain] == n // 5 for name, n in counts.items() for chain in range(5))
        assert len(set(keys)) == len(keys), "an appearance has draws of its own"
    assert all(len({name for name, _ in batch}) == len(batch) for batch in batches.arrange(0)), (
        "no clip is its own negative"
    )


class Tones:
    """Clips of one tone each, and of tokens."""

    streams: ClassVar = {"audio": AUDIO, "text": Stream("text_tokens", "text_tokens", "tokens")}

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        name, epoch = key
        wave = 0.3 * torch.sin(torch.arange(4000) * 0.05 * (1 + int(name[-1])))
        return Clip(name, {"audio": wave, "text": torch.arange(5, 45)}, {"label": torch.tensor(int(name[-1]))}, epoch)


def make_views(seed: int = 0) -> ViewDataset:
    chains = [Augmenter([Chain(chain="ahn2024", type=number)]) for number in (1, 2, 3, 4, 5)]
    return ViewDataset(Tones(), chains, seed, 0.15)  # type: ignore[arg-type]


def test_two_views_differ_and_are_of_one_chain() -> None:
    differ = 0
    for appearance in range(10):
        first, second = make_views()["c/1", appearance]
        assert (
            first.values["augmentation"]
            == second.values["augmentation"]
            == make_views().choose_chain(("c/1", appearance))
        )
        differ += not torch.equal(first.streams["audio"], second.streams["audio"])
        assert not torch.equal(first.streams["text"], second.streams["text"])
        assert 0 < int((first.streams["text"] == 0).sum()) < 20
    assert differ >= 5, "each step of a chain has probability .3"


def print_views() -> str:
    """Digest of views in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_views; print(test_views.digest_views())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def digest_views(seed: int = 0) -> str:
    views = make_views(seed)
    parts = [
        clip.streams[role].numpy().tobytes()
        for i in range(3)
        for clip in views[f"c/{i}", 7]
        for role in ("audio", "text")
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_views_are_the_same_in_any_order_and_in_another_process() -> None:
    views = make_views()
    np.random.default_rng(1).random()
    alone = views["c/1", 7]
    for other in ("c/0", "c/2"):
        views[other, 3]
    again = views["c/1", 7]
    assert all(torch.equal(a.streams["audio"], b.streams["audio"]) for a, b in zip(alone, again, strict=True))
    assert digest_views() == print_views() != digest_views(seed=1)


def test_first_views_come_before_second_ones() -> None:
    loader = load_in_order(make_views(), order("c", 2), lambda pairs: collate_views(pairs, Tones.streams, 0))
    (batch,) = list(loader)
    assert batch.utterance_ids[:2] == batch.utterance_ids[2:] and len(set(batch.utterance_ids)) == 2
    assert batch.values["label"].tolist() == [int(name[-1]) for name in batch.utterance_ids]
    assert batch.draws[2] == [*batch.draws[0], 1], "masks of the two views differ"
