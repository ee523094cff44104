"""Vectors of clips in a scratch file, so that memory does not grow with their number. Without torch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from emoadapt.errors import DataError


class VectorFile(Mapping[str, np.ndarray]):
    """Layers of clips, (n_layers, width) float32 each.

    The file has no name, and lives as long as this object. It is read and not mapped: pages of a map would count as memory of the process.

    Args:
        shape: (n_layers, width) of a clip.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._rows: dict[str, int] = {}
        self._file = tempfile.TemporaryFile(prefix="emoadapt-", buffering=0)  # noqa: SIM115 - closed with the object
        self._stride, self._begin = 4 * shape[0] * shape[1], 0

    @classmethod
    def build(cls, clips: Iterable[tuple[str, np.ndarray]]) -> Self:
        """Write clips, name and (n_layers, width), one after another; of none the shape is (0, 0).

        Raises:
            DataError: two clips have other shapes.
        """
        found = None
        for name, values in clips:
            if found is None:
                found = cls((len(values), values.shape[1]))
            found.add(name, values)
        return cls((0, 0)) if found is None else found

    def add(self, name: str, values: np.ndarray) -> None:
        """Write a clip.

        Raises:
            DataError: its shape is not that of the others.
        """
        if values.shape != self.shape:
            raise DataError(
                f"layers of {name} are {values.shape[0]} x {values.shape[1]} values, those of other clips {self.shape[0]} x "
                f"{self.shape[1]}; delete the tables of these layers and run again"
            )
        place = self._rows.setdefault(name, len(self._rows)) * self._stride
        content = memoryview(values.astype("<f4").tobytes())
        while content:
            try:
                written = os.pwrite(self._file.fileno(), content, place)
            except OSError as error:
                # It has no name, and the disk that is full is not that of the results.
                raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from None
            content, place = content[written:], place + written

    def select(self, layer: int | None) -> Self:
        """The same clips with one layer of each, read from the same file; None = all layers.

        Raises:
            IndexError: there is no such layer.
        """
        if layer is None:
            return self
        if not 0 <= layer < self.shape[0]:
            raise IndexError(f"no layer {layer} among {self.shape[0]}")
        found = copy(self)
        found.shape, found._begin = (1, self.shape[1]), self._begin + 4 * layer * self.shape[1]
        return found

    def read(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Layers of clips, (n, n_layers, width); zeros for a clip that has none."""
        found = np.zeros((len(names), *self.shape), np.float32)
        for name, values in zip(names, found, strict=True):
            if name in self._rows:
                self._fill(values, self._begin + self._rows[name] * self._stride)
        return found

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        values = np.empty(self.shape, np.float32)
        self._fill(values, self._begin + self._rows[name] * self._stride)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def _fill(self, values: NDArray[np.float32], place: int) -> None:
        rest = values.data.cast("B")
        while rest:
            read = os.preadv(self._file.fileno(), [rest], place)
            if not read:
                raise OSError(f"a scratch file in {tempfile.gettempdir()} was cut off")
            rest, place = rest[read:], place + read


def stack_vectors(vectors: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Vectors of clips, (n, ...), out of a file or of memory."""
    return vectors.read(names) if isinstance(vectors, VectorFile) else np.stack([vectors[name] for name in names])
