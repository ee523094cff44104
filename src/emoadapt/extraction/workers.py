"""Extractors in worker processes; a crash or hang costs one row.

The parent reads rows, hands them out one at a time and takes the results back in the order of the rows; it loads neither
models nor decoders. A worker keeps one extractor for all its rows.

* A worker that dies is started again, and its row is given to the new one once more: it may have been killed for the memory
  that others took. A row on which two workers died is `failed` with the code `crashed`.
* A worker that shows no progress on its row for the stall limit is killed, and the row is `failed` with the code
  `stalled`. It is not given out again, which would cost the same time once more. Loading a model is not judged.
* An extractor with a method `iterate(row)` gives its result in parts (`WorkerPool.stream`). A worker that is parts ahead waits. A new
  worker repeats the parts that a dead one has given, and they are passed over.
* Whatever else an extractor raises is a fault of the machine, the configuration or the code, as it is without workers: the
  job stops with it.

Crashed and stalled rows say more about a run than about a clip. They are stored like others, and computed again whenever
their job runs again (`snakemake --forcerun <rule>`), when all other rows are reused: see `emoadapt.flow.rows`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol, Self

from emoadapt.errors import ClipError, EmoadaptError
from emoadapt.features.base import Context, Extractor
from emoadapt.machine.starting import collect_as_usual, collect_rarely

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""Workers that may die on a row before it is set aside."""
FAILED_STARTS = 3
"""Workers that may die one after the other before any is ready; then the fault is not in a clip."""
ROWS_AHEAD = 4
"""Rows per worker that may be taken in before the oldest of them is done: what bounds the parent's memory."""
PARTS_AHEAD = 4
"""Parts of a row that are taken in before the rows ahead of it are done."""
_LOOKS = 4
"""How often a worker is looked at within the stall limit."""
_SECONDS_TO_END = 10.0

_SPAWN = multiprocessing.get_context("spawn")

Row = dict[str, Any]


class Streamer(Protocol):
    """Gives results in parts."""

    def iterate(self, row: Row) -> Iterator[Any]:
        """Parts of the result of a row, each as soon as it is there."""
        ...


Load = Callable[[Any, Context], Extractor | Streamer]
"""What makes an extractor of a section."""
Watch = Callable[[Extractor, Callable[[], None]], Extractor]
"""What checks the media of an extractor, given its beat."""


@dataclass
class _Task:
    row: Row
    ends: list[str] = field(default_factory=list)
    """How the workers that died on it ended."""
    result: Row | None = None
    parts: deque[Any] = field(default_factory=deque)
    """Those that nobody has taken yet."""
    seen: int = 0
    """Parts that the present worker has given."""
    given: int = 0
    """Parts that any worker has given."""

    def has_news(self) -> bool:
        """Whether there is a part to take, or the result."""
        return bool(self.parts) or self.result is not None

    def add(self, part: Any) -> None:
        """Take a part, unless a worker that died has given it before."""
        self.seen += 1
        if self.seen > self.given:
            self.given = self.seen
            self.parts.append(part)


class WorkerPool:
    """Runs an extractor in worker processes; a context manager.

    Args:
        load: what makes an extractor in each worker; a function or class at the top of a module.
        config: its configuration; must be picklable.
        context: what the extractors are given, with a `beat` of the pool's; or one for each worker.
        n_workers: processes; they are started as rows come in.
        stall_limit: s.
        watch: what checks the media of each extractor; None: nothing.
    """

    def __init__(
        self,
        load: Load,
        config: Any,
        context: Context | Sequence[Context],
        n_workers: int,
        stall_limit: float,
        watch: Watch | None = None,
    ) -> None:
        self._load, self._config, self._watch = load, config, watch
        self._contexts = [context] * n_workers if isinstance(context, Context) else list(context)
        self._n_workers = n_workers
        self._stall_limit = stall_limit
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._looked = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.bury()
        self._workers.clear()

    def run(self, chunks: Iterator[list[Row]]) -> Generator[tuple[Row, Row]]:
        """Rows with their results, in the order of the rows.

        Raises:
            EmoadaptError: raised by the extractor, or workers die as soon as they start.
            Exception: whatever else the extractor raises.
        """
        for task in self._advance(chunks):
            if task.result is not None:
                yield task.row, task.result

    def stream(self, rows: Iterator[Row]) -> Generator[tuple[Row, Any]]:
        """Rows with each part of their results as soon as it is there, in the order of the rows.

        What ends a row early, a crash or a stall, comes behind its parts: a mapping with status and reason.

        Raises:
            EmoadaptError: as `run`.
            Exception: as `run`.
        """
        for task in self._advance(iter([rows])):
            while task.parts:
                yield task.row, task.parts.popleft()
            if task.result:
                yield task.row, task.result

    def _advance(self, chunks: Iterator[Iterator[Row] | list[Row]]) -> Generator[_Task]:
        """The oldest row, whenever there is a part of it, and at its end."""
        rows = chain.from_iterable(chunks)
        tasks: deque[_Task] = deque()
        more = True
        while more or tasks:
            while more and len(tasks) < ROWS_AHEAD * self._n_workers and self._has_room():
                row = next(rows, None)
                if row is None:
                    more = False
                else:
                    tasks.append(_Task(row))
                    self._give(tasks[-1])
            if tasks and not tasks[0].has_news():
                self._listen()
            while tasks and tasks[0].has_news():
                yield tasks[0]
                if tasks[0].result is not None:
                    tasks.popleft()

    def _has_room(self) -> bool:
        return len(self._workers) < self._n_workers or any(worker.task is None for worker in self._workers)

    def _give(self, task: _Task) -> None:
        idle = next((worker for worker in self._workers if worker.task is None), None)
        if idle is None:
            idle = _Worker(self._load, self._config, self._next_context(), self._watch)
            self._workers.append(idle)
        idle.task, task.seen = task, 0
        if idle.ready:
            self._send(idle)

    def _next_context(self) -> Context:
        """The one that the fewest workers have."""
        taken = [worker.context for worker in self._workers]
        return min(self._contexts, key=lambda context: (taken.count(context), self._contexts.index(context)))

    def _send(self, worker: _Worker) -> None:
        assert worker.task is not None
        try:
            worker.send(worker.task.row)
        except OSError:
            self._replace(worker)

    def _listen(self) -> None:
        """Wait for a message of a worker, or for the next check that all are alive."""
        busy = self._list_busy()
        links: list[Any] = [link for worker in busy for link in (worker.link, worker.process.sentinel)]
        heard = set(wait(links, self._stall_limit / _LOOKS))
        for worker in busy:
            if not heard.isdisjoint((worker.link, worker.process.sentinel)):
                self._hear(worker)
        self._look()

    def _list_busy(self) -> list[_Worker]:
        """Workers at a row, without those that are parts ahead: they wait until the rows before theirs are done."""
        return [worker for worker in self._workers if worker.task and len(worker.task.parts) < PARTS_AHEAD]

    def _hear(self, worker: _Worker) -> None:
        assert worker.task is not None
        try:
            kind, content = pickle.load(worker.reader)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._replace(worker)
            return
        if kind == "stop":
            raise content
        if kind == "ready":
            worker.ready, self._failed_starts = True, 0
            self._send(worker)
        elif kind == "part":
            worker.rest()
            worker.task.add(content)
        else:
            worker.task.result, worker.task = content, None

    def _replace(self, worker: _Worker) -> None:
        """Replace a dead worker, and retry its row once."""
        task, end = worker.task, worker.bury()
        assert task is not None
        self._workers.remove(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == FAILED_STARTS:
                raise EmoadaptError(
                    f"{FAILED_STARTS} worker processes of {self._load.__module__} in a row ended with {end} before their "
                    "first clip; see above for what they printed, and check that its libraries run on this machine"
                )
        else:
            task.ends.append(end)
        if len(task.ends) < ATTEMPTS:
            logger.warning("%s: its worker process ended with %s; trying once more", _name(task), end)
            self._give(task)
        else:
            ends = f"{end}, twice" if len(set(task.ends)) == 1 else ", then with ".join(task.ends)
            self._set_aside(task, ClipError("crashed", f"the worker process ended with {ends}"))

    def _look(self) -> None:
        """Kill the workers that have shown no sign of progress for too long."""
        now = time.monotonic()
        # A machine that slept, or a job that was stopped for a while, is not a decoder that hangs.
        step, self._looked = min(now - self._looked, self._stall_limit / _LOOKS), now
        for worker in [worker for worker in self._list_busy() if worker.ready]:
            if worker.count_quiet(step) >= self._stall_limit:
                self._end_stalled(worker)

    def _end_stalled(self, worker: _Worker) -> None:
        task = worker.task
        assert task is not None
        worker.process.kill()
        worker.bury()
        self._workers.remove(worker)
        self._set_aside(task, ClipError("stalled", f"no progress for {self._stall_limit:g} s"))

    def _set_aside(self, task: _Task, error: ClipError) -> None:
        logger.warning("%s: %s", _name(task), error)
        task.result = {"status": error.status, "reason": str(error)}


def _name(task: _Task) -> str:
    return str(task.row.get("utterance_id", "a row"))


class _Worker:
    """One process, and the row that it is at.

    Rows and results are pickled straight into and out of the pipe, so that no second copy of the audio is made. The
    messages take turns: `ready` or `stop` after the start, then for each row its parts, if it has any, and one `row` or `stop`. Progress within a row is a
    counter in shared memory.
    """

    def __init__(self, load: Load, config: Any, context: Context, watch: Watch | None) -> None:
        self.task: _Task | None = None
        self.context = context
        self.ready = False
        self._beats = _SPAWN.RawValue("Q", 0)
        self._seen, self._quiet = 0, 0.0
        self.link, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(
            target=_serve,
            args=(theirs, self._beats, load, config, context, watch, logging.getLogger().getEffectiveLevel()),
            daemon=True,
        )
        self.process.start()
        theirs.close()
        self.reader = _ExactReader(self.link.fileno())
        self._writer = os.fdopen(self.link.fileno(), "wb", closefd=False)

    def send(self, row: Row) -> None:
        """Hand over a row.

        Raises:
            OSError: the worker is dead.
        """
        self.rest()
        pickle.dump(row, self._writer, pickle.HIGHEST_PROTOCOL)
        self._writer.flush()

    def rest(self) -> None:
        """Count from now on how long it is quiet."""
        self._quiet = 0.0

    def count_quiet(self, seconds: float) -> float:
        """Seconds since the last sign of progress, if these are added to those counted before."""
        beats = self._beats.value
        self._quiet = self._quiet + seconds if beats == self._seen else 0.0
        self._seen = beats
        return self._quiet

    def dismiss(self) -> None:
        """Let an idle worker end by itself; kill one that is at work."""
        if self.task is not None:
            self.process.kill()
        self._close()

    def bury(self) -> str:
        """Wait for the end of the process and say how it ended."""
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(_SECONDS_TO_END)
        self._close()
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()
        self.link.close()


class _ExactReader:
    """Reads a pipe for `pickle`, and nothing of the message behind: what lies in a buffer, `wait` does not see.

    Args:
        descriptor: of the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readinto(self, target: bytearray | memoryview) -> int:
        """Fill the target; less at the end of the pipe."""
        view, done = memoryview(target).cast("B"), 0
        while done < len(view) and (count := os.readv(self._descriptor, [view[done:]])):
            done += count
        return done

    def read(self, length: int) -> bytes:
        """So many bytes; less at the end of the pipe."""
        content = bytearray(length)
        return bytes(content[: self.readinto(content)])

    def readline(self) -> bytes:
        """Bytes up to a line feed, which old protocols have."""
        line = bytearray()
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)


# --- in the worker -----------------------------------------------------------------------------------


def _serve(
    link: Connection, beats: Any, load: Load, config: Any, context: Context, watch: Watch | None, level: int
) -> None:
    """What a worker does until its pipe is closed."""
    collect_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s worker: %(message)s", datefmt="%H:%M:%S")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    writer = os.fdopen(link.fileno(), "wb", closefd=False)

    def tell(kind: str, content: Any) -> None:
        pickle.dump((kind, content), writer, pickle.HIGHEST_PROTOCOL)
        writer.flush()

    def beat() -> None:
        beats.value += 1

    try:
        extractor: Any = load(config, replace(context, beat=beat))
        if watch:
            extractor = watch(extractor, beat)
        collect_as_usual()
        tell("ready", None)
        for row in _receive(link):
            if iterate := getattr(extractor, "iterate", None):
                for part in iterate(row):
                    tell("part", part)
                tell("row", {})
            else:
                (result,) = extractor.extract([row])
                tell("row", result)
    except Exception as error:
        tell("stop", _make_portable(error))


def _receive(link: Connection) -> Iterator[Row]:
    with os.fdopen(link.fileno(), "rb", closefd=False) as reader:
        while True:
            try:
                row = pickle.load(reader)
            except EOFError:
                return
            yield row


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too, even in the middle of a row."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make_portable(error: Exception) -> Exception:
    """An exception that can be raised in the parent: the same where it survives pickling, with the worker's traceback."""
    note = "In a worker process:\n" + "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error
