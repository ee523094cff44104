"""Numbers that a GPU is still computing, and checks of them.

A process that waits for a number of every step leaves its GPU without work for that time. So a number is copied when the GPU comes to
it, and looked at after the next work has been queued. On a CPU a number is there at once, and so is its check.
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
        """Whether reading it does not wait for a GPU."""
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
