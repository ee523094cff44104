"""Numbers that a GPU is still computing, and checks of them.

A process that waits for a number in every step leaves its GPU idle meanwhile. So a number is copied in the order of the GPU's work, and
checked after the next work has been queued. On a CPU numbers are checked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Fetched:
    """A tensor on its way to the CPU.

    Args:
        values: on any device.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values.to("cpu", non_blocking=True)
        self._copied: Any = None
        if values.device.type == "cuda":
            self._copied = torch.cuda.Event()
            self._copied.record()

    @property
    def is_there(self) -> bool:
        """Whether it can be read without waiting."""
        return self._copied is None

    def read(self) -> Any:
        """As `Tensor.tolist` gives it; waits until it is there."""
        if self._copied is not None:
            self._copied.synchronize()
            self._copied = None
        return self._values.tolist()


class LateChecks:
    """Checks that wait for a GPU.

    `settle` must be called before anything is kept that a check could refuse: a checkpoint, the weights of an epoch.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def add(self, needs: Fetched, check: Callable[[], None]) -> None:
        """Check now if what it needs is there, else when `settle` is called."""
        if needs.is_there:
            check()
        else:
            self._waiting.append(check)

    def settle(self) -> None:
        """Do all checks that wait, in their order.

        Raises:
            Whatever they raise.
        """
        waiting, self._waiting = self._waiting, []
        for check in waiting:
            check()
