"""Prefetching: a stage computes in its own thread while the next consumes.

Decoders, networks and image codecs give the interpreter free while they work, so stages overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from queue import Queue
from typing import TypeVar

Item = TypeVar("Item")

_END = object()


def run_ahead(items: Generator[Item], depth: int) -> Generator[Item]:
    """Prefetch up to `depth` items of a generator in a thread.

    The thread ends when the generator does. What the generator raises is raised here, after the items before it. When this
    one is closed, so is the other, after the item it is at.
    """
    queue: Queue[object] = Queue(depth)
    stopped = threading.Event()

    def fill() -> None:
        last: object = _END
        try:
            # Closed before the end is told: what fails on closing must not keep the other side waiting.
            with closing(items):
                for item in items:
                    queue.put((item,))
                    if stopped.is_set():
                        break
        except BaseException as error:
            last = error
        queue.put(last)

    thread = threading.Thread(target=fill, name="ahead", daemon=True)
    thread.start()
    got: object = None
    try:
        while isinstance(got := queue.get(), tuple):
            yield got[0]
        if isinstance(got, BaseException):
            raise got
    finally:
        stopped.set()
        while got is None or isinstance(got, tuple):
            # Makes room for what the thread has still to say.
            got = queue.get()
        thread.join()
