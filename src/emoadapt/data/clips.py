"""Clips in a memory-mapped file; memory does not grow with the corpus."""

from __future__ import annotations

import mmap
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emoadapt.data.streams import STEP, Stream
from emoadapt.data.vector_file import stack_vectors
from emoadapt.machine.ranks import find_rank, share
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.tables import iterate_groups

if TYPE_CHECKING:
    from emoadapt.augmentations.base import Augmenter

RESIDENT = 4 * 2**20
"""Bytes read from a map before its pages are given back to the page cache; the kernel maps up to ten times as much around them."""


class ClipStore:
    """Random access by utterance to columns of many Parquet shards.

    Args:
        mapped: an Arrow IPC file whose first column is `utterance_id`.
    """

    def __init__(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self._read = 0
        self._table = table = pa.ipc.open_file(pa.py_buffer(mapped)).read_all()
        self._rows = {name: row for row, name in enumerate(table.column("utterance_id").to_pylist())}

    @classmethod
    def build(
        cls, shards: Iterable[Path], columns: pa.Schema, folder: Path, keep: Collection[str] | None = None
    ) -> ClipStore:
        """Pack shards, a row group at a time, into an Arrow IPC file and map it; of several processes the first packs for all.

        Args:
            shards: tables keyed by `utterance_id`; rows whose `status` is not ok are left out.
            columns: what to pack; a column that a shard lacks is null there.
            folder: scratch folder. The file loses its name once it is mapped, so a killed job leaves none behind.
            keep: utterances wanted; None = all.

        Raises:
            DataError: a shard is missing or unreadable, or a wanted utterance has no row; tables of usable rows only have none of
                the others.
        """
        if find_rank() > 0:
            with Path(share()).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            share()
            return cls(mapped)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = None if keep is None else pa.array(sorted(keep), pa.string())
        shards, missing = list(shards), set(keep or ())
        bare = pa.schema([pa.field(column.name, column.type) for column in columns])
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".arrow") as file:
            with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, bare) as writer:
                for shard in shards:
                    for rows in iterate_groups(shard):
                        if "status" not in rows.column_names:
                            missing.clear()
                        missing.difference_update(rows.column("utterance_id").to_pylist())
                        writer.write_table(_select(rows, bare, wanted), max_chunksize=256)
            refuse_missing(missing, len(keep or ()), shards)
            # Told where it is, the others map it; then it may lose its name.
            share(file.name)
            share()
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, utterance_id: object) -> bool:
        return utterance_id in self._rows

    @property
    def utterances(self) -> list[str]:
        """Ids, sorted."""
        return sorted(self._rows)

    def value(self, utterance_id: str, column: str) -> Any:
        """A number, truth value or None."""
        return self._table.column(column)[self._rows[utterance_id]].as_py()

    def vector(self, utterance_id: str, column: str) -> np.ndarray:
        """A list column as (dimension,) array."""
        return self._table.column(column)[self._rows[utterance_id]].values.to_numpy(zero_copy_only=False)

    def array(self, utterance_id: str, column: str, dtype: str) -> np.ndarray:
        """Bytes as a read-only (n,) array on the mapped file."""
        buffer = self._table.column(column)[self._rows[utterance_id]].as_buffer()
        self._count(buffer.size)
        return np.frombuffer(buffer, dtype=dtype)

    def column(self, name: str) -> dict[str, Any]:
        """A small column of all utterances, id -> value."""
        return dict(zip(self._rows, self._table.column(name).to_pylist(), strict=True))

    def read(self, utterance_id: str, stream: Stream) -> np.ndarray:
        """Values of a stream: read-only arrays on the mapped file, as they are stored."""
        match stream.layout:
            case "samples":
                return self.array(utterance_id, stream.column, "<i2")
            case "frames":
                buffer = self._table.column(stream.column)[self._rows[utterance_id]].as_buffer()
                self._count(buffer.size)
                return _shape_frames(buffer, *(self.value(utterance_id, name) for name in ("n_frames", "dimension")))
            case _:
                return self.vector(utterance_id, stream.column)

    def _count(self, n_bytes: int) -> None:
        """Give the map's pages back after every `RESIDENT` bytes read; arrays on them stay valid and are read in again on use.

        Pages of a map count as the process's memory once they are touched: after an epoch that would be the whole corpus.
        """
        self._read += n_bytes
        if self._read > RESIDENT and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0


def _select(table: pa.Table, columns: pa.Schema, wanted: pa.Array | None) -> pa.Table:
    """Rows that are ok and wanted, columns in order and type, nulls for missing ones."""
    if "status" in table.column_names:
        table = table.filter(pc.equal(table.column("status"), "ok"))
    if wanted is not None:
        table = table.filter(pc.is_in(table.column("utterance_id"), value_set=wanted))
    arrays = [
        table.column(column.name).cast(column.type)
        if column.name in table.column_names
        else pa.chunked_array([pa.nulls(table.num_rows, column.type)])
        for column in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


@dataclass(frozen=True)
class Clip:
    """One training example: its streams by role, and what goes with it.

    Args:
        utterance_id: of the clip.
        streams: role -> values.
        values: name -> annotation.
        epoch: that it is read in.
        absent: roles of streams that the clip lacks; zeros stand for them.
    """

    utterance_id: str
    streams: Mapping[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    absent: frozenset[str] = frozenset()


Annotate = Callable[[str], Mapping[str, Tensor]]


class ClipDataset(Dataset[Clip], ABC):
    """Clips by (utterance, epoch).

    Args:
        streams: role -> its stream.
        annotate: utterance -> tensors that go with it (targets, masks, label).
    """

    def __init__(self, streams: Mapping[str, Stream], annotate: Annotate) -> None:
        self.streams = streams
        self.annotate = annotate

    @abstractmethod
    def __getitem__(self, key: tuple[str, int]) -> Clip:
        """A clip in an epoch, which only matters where something is drawn."""


@dataclass(frozen=True)
class Source:
    """A stream of many clips.

    Args:
        store: holds it.
        stream: its column and layout.
        step: seconds from frame to frame, where the table has no column of it.
        rows: frames of one time, one after the other, which a crop keeps together.
    """

    store: ClipStore
    stream: Stream
    step: float | None = None
    rows: int = 1

    def read(self, utterance_id: str) -> np.ndarray:
        """Values of a clip, as they are stored."""
        return self.store.read(utterance_id, self.stream)

    def find_step(self, utterance_id: str) -> float | None:
        """Seconds from a value of a clip to the next; None of tokens and vectors."""
        match self.stream.layout:
            case "samples":
                return 1 / SAMPLE_RATE
            case "frames":
                return self.step or self.store.value(utterance_id, STEP)
        return None

    def count(self, utterance_id: str) -> int:
        """Number of a clip's samples, frames or tokens; 1 for a vector."""
        match self.stream.layout:
            case "samples":
                return int(self.store.value(utterance_id, "n_samples"))
            case "frames":
                return int(self.store.value(utterance_id, "n_frames"))
            case "tokens":
                return len(self.read(utterance_id))
        return 1

    def stand_in(self) -> Tensor:
        """Zeros for a clip without the stream: one frame, one token, or a vector."""
        found = next(iter(self.store.utterances), None)
        if found is None:
            return torch.zeros(1)
        values = self.read(found)
        return torch.zeros_like(to_tensor(values if self.stream.layout == "vector" else values[:1], self.stream))


def to_tensor(values: np.ndarray, stream: Stream) -> Tensor:
    """A tensor of its own: audio in [-1, 1], tokens as int64, frames and vectors as they are stored."""
    match stream.layout:
        case "samples":
            return torch.from_numpy(values.astype(np.float32) / 32768)
        case "tokens":
            return torch.from_numpy(values.astype(np.int64))
    return torch.from_numpy(values.copy())


def read_stream(row: Mapping[str, Any], stream: Stream) -> np.ndarray:
    """Values of a stream in a row of its feature's table, as `ClipStore.read` gives them."""
    value = row[stream.column]
    match stream.layout:
        case "samples":
            return np.frombuffer(value, "<i2")
        case "frames":
            return _shape_frames(value, row["n_frames"], row["dimension"])
        case "tokens":
            return np.array(value, np.int32)
    return np.array(value, np.float32)


def _shape_frames(values: Any, n_frames: int, dimension: int) -> np.ndarray:
    """Bytes of frames as (n_frames, dimension); their number tells float16 from float32."""
    dtype = {2: "<f2", 4: "<f4"}[memoryview(values).nbytes // (n_frames * dimension)]
    return np.frombuffer(values, dtype).reshape(n_frames, dimension)


class SignalDataset(ClipDataset):
    """Clips whose streams are read from disk.

    A clip has the first stream. Of the others it may lack any: zeros then stand for it, and `Clip.absent` names it.

    Args:
        sources: role -> where the stream is read.
        annotate: utterance -> tensors that go with it (targets, masks, label).
        longest: crop to this many seconds; None = natural length. Streams whose values have no time are not cropped.
        crop: what is kept of longer ones, as `Optimisation.crop`.
        seed: the place of a random crop is drawn from (seed, epoch, utterance); None = the beginning.
        count: number of values that so many seconds of the first stream have, None where they have no time; no function = as many as its
            step says.
        augment: changes cropped audio, drawn from (seed, epoch, utterance); None = nothing does, as in evaluation.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        annotate: Annotate,
        *,
        longest: float | None = None,
        crop: str = "beginning",
        seed: int | None = None,
        count: Callable[[float], int | None] | None = None,
        augment: Augmenter | None = None,
    ) -> None:
        super().__init__({role: source.stream for role, source in sources.items()}, annotate)
        self.sources = sources
        self.longest = longest
        self.crop = crop
        self.seed = seed
        self.count = count
        self.augment = augment
        self._stand_ins: dict[str, Tensor] = {}

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        utterance_id, epoch = key
        first = next(iter(self.sources))
        streams, begin, end = {}, 0.0, float("inf")
        for role, source in self.sources.items():
            if role != first and utterance_id not in source.store:
                streams[role] = self._stand_in(role)
                continue
            whole, step = source.read(utterance_id), source.find_step(utterance_id)
            if role == first:
                part = self._choose_crop(utterance_id, epoch, len(whole), step, source.rows)
                if step is not None and part.stop is not None:
                    begin, end = part.start * step, part.stop * step
            else:
                cropped = end < float("inf")
                part = _place_crop(begin, end, step, source.rows) if step is not None and cropped else slice(None)
            streams[role] = to_tensor(whole[part], source.stream)
            if self.augment is not None and source.stream.layout == "samples":
                streams[role] = self._change(streams[role], self.augment, key)
        absent = frozenset(role for role in streams if utterance_id not in self.sources[role].store)
        return Clip(utterance_id, streams, dict(self.annotate(utterance_id)), epoch, absent)

    def _change(self, audio: Tensor, augment: Augmenter, key: tuple[str, int]) -> Tensor:
        utterance_id, epoch = key
        changed = augment(audio.numpy(), [self.seed or 0, epoch, zlib.crc32(utterance_id.encode())])
        return torch.from_numpy(np.ascontiguousarray(changed))

    def _stand_in(self, role: str) -> Tensor:
        if role not in self._stand_ins:
            self._stand_ins[role] = self.sources[role].stand_in()
        return self._stand_ins[role]

    def _choose_crop(self, utterance_id: str, epoch: int, length: int, step: float | None, rows: int) -> slice:
        longest = self._count_longest(step)
        if longest is None or length <= longest:
            return slice(None)
        start = 0
        if self.crop == "centre":
            start = (length - longest) // 2 // rows * rows
        elif self.crop == "random" and self.seed is not None:
            random = np.random.default_rng([self.seed, epoch, zlib.crc32(utterance_id.encode())])
            start = int(random.integers((length - longest) // rows + 1)) * rows
        return slice(start, start + longest)

    def _count_longest(self, step: float | None) -> int | None:
        """Values of the first stream that `longest` seconds have."""
        if self.longest is None:
            return None
        if self.count is not None:
            return self.count(self.longest)
        return None if step is None else max(1, round(self.longest / step))


def _place_crop(begin: float, end: float, step: float, rows: int) -> slice:
    """Frames from `begin` to `end` s, those of at least one time; `step` s from frame to frame, of which so many are of one time."""
    first = round(begin / (step * rows))
    return slice(first * rows, max(first + 1, round(end / (step * rows))) * rows)


class VectorDataset(ClipDataset):
    """Clips whose streams are arrays of one shape, in memory or in a `VectorFile`.

    Args:
        vectors: role -> utterance -> float32 array. A clip has the first; zeros stand for others that it lacks, which only a file allows.
        annotate: utterance -> tensors that go with it.
    """

    def __init__(self, vectors: Mapping[str, Mapping[str, np.ndarray]], annotate: Annotate) -> None:
        super().__init__({role: Stream(role, role, "vector") for role in vectors}, annotate)
        self.vectors = vectors

    def __getitem__(self, key: tuple[str, int]) -> Clip:
        name, epoch = key
        streams, absent = (
            self.stack([name]),
            frozenset(role for role, found in self.vectors.items() if name not in found),
        )
        return Clip(
            name, {role: values[0] for role, values in streams.items()}, dict(self.annotate(name)), epoch, absent
        )

    def stack(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Role -> arrays of clips, (n, ...)."""
        return {role: torch.from_numpy(stack_vectors(found, names)) for role, found in self.vectors.items()}
