"""The end of a job that the cluster, or a closed terminal, asks for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emoadapt.errors import TrainingError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""What a cluster sends before it ends a job, and a terminal that is closed."""


def list_heeded() -> list[signal.Signals]:
    """`SIGNALS`, but for those that are ignored, as SIGHUP is under `nohup`."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class Interrupted(TrainingError):
    """The cluster ended a run; starting it again continues from its last checkpoint, if there is one."""


class Notice:
    """Catches `SIGNALS`, which would end the process; the last one is in `name`."""

    def __init__(self) -> None:
        self.name = ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen, and leave the handlers as they were."""
        if threading.current_thread() is not threading.main_thread():
            # Only the main thread can.
            yield
            return
        before = {number: signal.signal(number, self._note) for number in list_heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: Any) -> None:
        self.name = signal.Signals(number).name
