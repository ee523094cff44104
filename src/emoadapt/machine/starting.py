"""Quick starts of processes: fewer garbage collections and imports."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_USUAL = gc.get_threshold()
_RARE = (100_000, *_USUAL[1:])


def collect_rarely() -> None:
    """Search for unreachable objects rarely, and not at exit.

    Imports make some hundred thousand objects that live until the process ends. Python's collector visits them again and
    again, and once more at exit: a third of the CPU seconds of a small job.
    """
    gc.set_threshold(*_RARE)
    atexit.register(_end)


def _end() -> None:
    """Leave all objects as they are, unless Triton is loaded: it reports objects that were not collected as leaks."""
    if "triton" not in sys.modules:
        gc.freeze()


def collect_as_usual() -> None:
    """Search for unreachable objects as often as Python does: reference cycles would keep tensors in memory."""
    gc.freeze()
    atexit.register(gc.unfreeze)
    gc.set_threshold(*_USUAL)


@contextmanager
def hidden(library: str) -> Iterator[None]:
    """Have an import of a library fail, as if it were not installed; one that is imported already stays.

    For libraries that import another one only to ask whether values are of its types.
    """
    finder = _Refuser(library)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Refuser:
    """Finds no module of a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: Any) -> None:
        """Refuse the name; leave others to the next finder.

        Raises:
            ModuleNotFoundError: it is the name.
        """
        if name == self.name:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
