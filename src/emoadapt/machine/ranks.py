"""Ranks: processes that train one model together, and their all-reduce.

One process, the usual case, is all of them: nothing is sent, and no number changes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def count_ranks() -> int:
    """Number of ranks; 1 without a group."""
    return dist.get_world_size() if (dist := _find_group()) else 1


def find_rank() -> int:
    """Rank of this process; rank 0 writes all files."""
    return dist.get_rank() if (dist := _find_group()) else 0


def add_up(values: Tensor) -> Tensor:
    """All-reduce a sum over the ranks."""
    if (dist := _find_group()) is None:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def gather(values: Sequence[T]) -> list[T]:
    """All-gather the ranks' values in rank order; they must be picklable, tensors on the CPU."""
    if (dist := _find_group()) is None:
        return list(values)
    parts: list[list[T]] = [[] for _ in range(count_ranks())]
    dist.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def share(value: T | None = None) -> T:
    """Broadcast the value of rank 0."""
    return gather([value])[0]  # type: ignore[return-value]


def _find_group() -> ModuleType | None:
    """`torch.distributed` if a group exists; None without torch."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None
