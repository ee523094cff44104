"""Batches of clips of similar length, in a seeded order."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Sampler

from emoadapt.data.clips import Clip, ClipDataset, VectorDataset
from emoadapt.data.streams import Stream
from emoadapt.machine.ranks import count_ranks, find_rank
from emoadapt.machine.torch_device import send
from emoadapt.schema import SAMPLE_RATE

JITTER = 0.04
"""Lengths are blurred by up to this fraction before sorting, so that a batch has other members in every epoch."""


@dataclass(frozen=True)
class Batch:
    """Clips together: what the backbone reads, and what goes with each clip.

    Args:
        utterance_ids: of the clips.
        streams: role -> values of all clips. `samples` are a list of (n_samples,) tensors, since padding would change the output of
            group-norm CNNs; `frames` and `tokens` are padded with zeros to (batch, longest, ...); `vector` is (batch, dimension).
        lengths: role -> (batch,) lengths of padded streams.
        values: name -> stacked annotations, (batch, ...).
        present: role -> (batch,) boolean, False for a clip that lacks the stream, of streams that clips may lack.
        draws: one key for `numpy.random.default_rng` per clip, from seed, epoch and utterance, where what is drawn may
            differ by epoch (training); empty where nothing is to be drawn (evaluation).
    """

    utterance_ids: list[str]
    streams: Mapping[str, Tensor | list[Tensor]]
    lengths: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    draws: list[list[int]] = field(default_factory=list)
    present: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""

        def move(value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
            return [send(clip, device) for clip in value] if isinstance(value, list) else send(value, device)

        return replace(
            self,
            streams={role: move(value) for role, value in self.streams.items()},
            lengths={role: send(value, device) for role, value in self.lengths.items()},
            values={name: send(value, device) for name, value in self.values.items()},
            present={role: send(value, device) for role, value in self.present.items()},
        )

    def narrow(self, part: str) -> Batch:
        """The batch that a part of a model reads: of the streams `<part>.<role>`, under the names of their roles."""

        def choose(found: Mapping[str, Any]) -> dict[str, Any]:
            return {
                role.removeprefix(f"{part}."): value for role, value in found.items() if role.startswith(f"{part}.")
            }

        return replace(self, streams=choose(self.streams), lengths=choose(self.lengths), present=choose(self.present))


def collate_clips(clips: Sequence[Clip], streams: Mapping[str, Stream], seed: int | None = None) -> Batch:
    """Put clips together.

    Args:
        clips: with the same streams.
        streams: role -> its stream, whose layout says how.
        seed: of the clips' `draws`; None = no draws.
    """
    together: dict[str, Tensor | list[Tensor]] = {}
    lengths = {}
    for role, stream in streams.items():
        found = [clip.streams[role] for clip in clips]
        match stream.layout:
            case "samples":
                together[role] = found
            case "vector":
                together[role] = torch.stack(found)
            case _:
                together[role] = pad_sequence(found, batch_first=True)
                lengths[role] = torch.tensor([len(value) for value in found])
    return Batch(
        utterance_ids=[clip.utterance_id for clip in clips],
        streams=together,
        lengths=lengths,
        # Clips of a target have no label. A test batch may hold such clips and others: then the label is left out.
        values={
            name: torch.stack([clip.values[name] for clip in clips])
            for name in clips[0].values
            if all(name in clip.values for clip in clips)
        },
        present={role: torch.tensor([role not in clip.absent for clip in clips]) for role in [*streams][1:]},
        draws=[] if seed is None else [[seed, clip.epoch, zlib.crc32(clip.utterance_id.encode())] for clip in clips],
    )


Key = tuple[str, int]
"""Utterance, and a number that seeds its random draws: that of the pass, or of its appearance."""


class BatchOrder(Sampler[list[Key]]):
    """Batches of an epoch in a seeded order; a subclass defines the batches of a pass over the clips.

    The batches of all passes form one sequence. An epoch is the next `n_batches` of it, and may begin and end within a pass.

    Of several processes, each gets every n-th clip of each batch. One for which there is none, in a batch of fewer clips than
    processes, gets the first clip, so that all take part in every step; `stands_in` tells.

    Args:
        n_batches: batches of an epoch; None = those of a pass.
    """

    utterances: Sequence[str]
    """All clips, sorted."""

    def __init__(self, n_batches: int | None = None) -> None:
        self.n_batches = n_batches
        self.epoch = 0
        self.skip = 0
        """Batches left out when the next epoch begins: they were done before a checkpoint."""
        self._dealt: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    @property
    @abstractmethod
    def per_pass(self) -> int:
        """Number of batches of a pass."""

    @abstractmethod
    def arrange_pass(self, number: int) -> list[list[Key]]:
        """The batches of a pass, for all processes."""

    def __len__(self) -> int:
        """Number of batches, the same in every epoch."""
        return self.n_batches or self.per_pass

    def arrange(self, epoch: int) -> list[list[Key]]:
        """The batches of an epoch, for all processes."""
        first, last = epoch * len(self), (epoch + 1) * len(self)
        passes = range(first // self.per_pass, -(-last // self.per_pass))
        batches = [batch for number in passes for batch in self.arrange_pass(number)]
        begin = first - passes.start * self.per_pass
        return batches[begin : begin + len(self)]

    @property
    @abstractmethod
    def padding_share(self) -> float:
        """Padding as a share of all samples in the padded batches of this epoch."""

    def __iter__(self) -> Iterator[list[Key]]:
        rank, ranks, batches = find_rank(), count_ranks(), self.arrange(self.epoch)
        skip, self.skip = self.skip, 0
        self._dealt = [len(batch) for batch in batches]
        for batch in batches[skip:]:
            yield batch[rank::ranks] if rank < len(batch) else batch[:1]

    def stands_in(self, batch: int) -> bool:
        """Whether this process has no clip of its own in a batch of the epoch under way, counted from 0."""
        return find_rank() >= self._dealt[batch]


class BucketedBatches(BatchOrder):
    """Batches of (utterance, epoch) keys whose clips have about the same length.

    The order depends on the utterances, their lengths, the seed and the epoch, and on nothing else: models of a
    pair see the same batches whether their CNN output is cached or not.

    Args:
        lengths: utterance -> length in samples.
        batch_size: clips per batch; one batch of the epoch takes the remainder.
        seed: of the order; None = ascending length, the same every time (evaluation).
        seconds: instead of `batch_size`, as many clips per batch as fill this many seconds of audio, padding included. A
            longer clip is a batch by itself. Every epoch has the same number of batches.
        n_batches: see `BatchOrder`. The number of the pass seeds the random draws of a clip.
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        batch_size: int,
        seed: int | None = None,
        seconds: float | None = None,
        n_batches: int | None = None,
    ) -> None:
        super().__init__(n_batches)
        self.utterances = sorted(lengths)
        self.lengths = np.array([lengths[name] for name in self.utterances], dtype=np.float64)
        self.seed = seed
        n = len(self.utterances)
        self.by_seconds = seconds is not None
        if seconds is None:
            self.sizes = [min(batch_size, n - begin) for begin in range(0, n, batch_size)]
        else:
            # Blurring moves the k-th shortest clip's length by at most JITTER, and a clip's blurred length is as close to its
            # own: with this margin no epoch's batch is longer than it may be.
            margin = 1.0 if seed is None else (1 + JITTER) / (1 - JITTER)
            self.sizes = _fill(np.sort(self.lengths) * margin, seconds * SAMPLE_RATE)

    @property
    def per_pass(self) -> int:
        """See `BatchOrder`."""
        return len(self.sizes)

    def arrange_pass(self, number: int) -> list[list[Key]]:
        """See `BatchOrder`; the number of a key is that of the pass."""
        return [[(self.utterances[i], number) for i in batch] for batch in self._arrange(number)]

    @property
    def padding_share(self) -> float:
        """Padding as a share of all samples in the padded batches of the pass that this epoch begins in."""
        first = self.epoch * len(self) // self.per_pass
        padded = sum(self.lengths[batch].max() * len(batch) for batch in self._arrange(first))
        return float(1 - self.lengths.sum() / padded)

    def _arrange(self, epoch: int) -> list[np.ndarray]:
        sizes = [*self.sizes]
        if self.seed is None:
            return np.split(np.argsort(self.lengths, kind="stable"), np.cumsum(sizes)[:-1])
        random = np.random.default_rng([self.seed, epoch])
        blur = random.uniform(1 - JITTER, 1 + JITTER, len(self.utterances))
        order = np.argsort(self.lengths * blur, kind="stable")
        if not self.by_seconds:
            random.shuffle(sizes)
        batches = np.split(order, np.cumsum(sizes)[:-1])
        return [batches[i] for i in random.permutation(len(batches))]


class AlternatingBatches(BatchOrder):
    """Batches of a source and of a target in turn.

    A pass reads all clips of the source, then all of the target, each several times. No batch contains a clip twice. The number in a clip's key
    is that of its appearance.

    Args:
        source: order of the source's clips.
        target: order of the target's clips; None = there are none.
        appearances: how often a pass reads a clip of the source, and a clip of the target.
        mixed: spread the batches of both evenly over the pass, instead of source first.
        n_batches: see `BatchOrder`.
    """

    def __init__(
        self,
        source: BucketedBatches,
        target: BucketedBatches | None = None,
        appearances: tuple[int, int] = (1, 1),
        *,
        mixed: bool = False,
        n_batches: int | None = None,
    ) -> None:
        super().__init__(n_batches)
        self.parts = [(source, appearances[0]), *([(target, appearances[1])] if target else [])]
        self.mixed = mixed
        self.utterances = sorted(name for part, _ in self.parts for name in part.utterances)

    @property
    def per_pass(self) -> int:
        """See `BatchOrder`."""
        return sum(part.per_pass * times for part, times in self.parts)

    def arrange_pass(self, number: int) -> list[list[Key]]:
        """See `BatchOrder`."""
        found = [
            [batch for place in range(times) for batch in part.arrange_pass(number * times + place)]
            for part, times in self.parts
        ]
        if not self.mixed:
            return [batch for batches in found for batch in batches]
        # Sorted by the middle of each batch's share of the pass; in a tie the source comes first.
        placed = [
            ((i + 0.5) / len(batches), n, batch) for n, batches in enumerate(found) for i, batch in enumerate(batches)
        ]
        return [batch for _, _, batch in sorted(placed, key=lambda item: item[:2])]

    @property
    def padding_share(self) -> float:
        """See `BatchOrder`; mean of source and target by their batches."""
        return sum(part.per_pass * times * part.padding_share for part, times in self.parts) / self.per_pass


def _fill(lengths: np.ndarray, limit: float) -> list[int]:
    """Sizes of batches of ascending lengths, each as large as longest * size <= limit allows, at least 1."""
    sizes = [0]
    for length in lengths:
        if sizes[-1] and (sizes[-1] + 1) * length > limit:
            sizes.append(0)
        sizes[-1] += 1
    return sizes


class VectorBatches:
    """Loader of vectors, which are in memory or in a file.

    Batches are those of a `DataLoader`, at a fifth of its cost, which would exceed that of a small head's step.

    Args:
        dataset: its arrays.
        batch_sampler: its order.
        seed: of the clips' `draws`; None = no draws.
    """

    def __init__(self, dataset: VectorDataset, batch_sampler: BucketedBatches, seed: int | None) -> None:
        self.dataset, self.batch_sampler, self.seed = dataset, batch_sampler, seed
        names = batch_sampler.utterances
        self._rows = {name: row for row, name in enumerate(names)}
        self._checksums = [zlib.crc32(name.encode()) for name in names]
        annotations = [dataset.annotate(name) for name in names]
        self._values = {
            key: torch.stack([of_clip[key] for of_clip in annotations])
            for key in annotations[0]
            if all(key in of_clip for of_clip in annotations)
        }

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        others = [*self.dataset.vectors.items()][1:]
        for keys in self.batch_sampler:
            names = [name for name, _ in keys]
            rows = [self._rows[name] for name in names]
            draws = [] if self.seed is None else [[self.seed, keys[0][1], self._checksums[row]] for row in rows]
            index = torch.tensor(rows)
            values = {key: of_all.index_select(0, index) for key, of_all in self._values.items()}
            present = {role: torch.tensor([name in found for name in names]) for role, found in others}
            yield Batch(names, self.dataset.stack(names), {}, values, draws, present)


def load_batches(
    dataset: ClipDataset,
    lengths: Mapping[str, int],
    batch_size: int,
    seed: int | None = None,
    seconds: float | None = None,
    n_batches: int | None = None,
) -> DataLoader[Batch] | VectorBatches:
    """A loader of `dataset` in bucketed batches; see `BucketedBatches`.

    It reads in the training process: clips come from a memory map at the cost of a copy, and a study runs many jobs side by side.
    """
    order = BucketedBatches(lengths, batch_size, seed, seconds, n_batches)
    if isinstance(dataset, VectorDataset):
        return VectorBatches(dataset, order, seed)
    return load_in_order(dataset, order, partial(collate_clips, streams=dataset.streams, seed=seed))


def load_in_order(dataset: Any, order: BatchOrder, collate: Callable[[Any], Batch]) -> DataLoader[Batch]:
    """A loader of the items of `dataset` in the batches of `order`, joined by `collate`."""
    # A loader without a generator of its own takes from the global one, and would shift every dropout mask after it.
    own = torch.Generator().manual_seed(0)
    return DataLoader(dataset, batch_sampler=order, collate_fn=collate, num_workers=0, generator=own)


def find_order(loader: Any) -> BatchOrder | None:
    """The order of a loader's batches; None if the loader was made without a `BatchOrder`."""
    order = getattr(loader, "batch_sampler", None)
    return order if isinstance(order, BatchOrder) else None
