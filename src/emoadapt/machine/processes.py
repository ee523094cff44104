"""One training job in several processes of a machine, one per GPU."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.distributed as dist

from emoadapt.errors import EmoadaptError, TrainingError
from emoadapt.training.interruption import list_heeded

logger = logging.getLogger(__name__)

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others, e.g. while the first packs the clips. One that died ends them all at once."""

SECONDS_TO_END = 10.0
"""What the others are given to end by themselves when one has failed: usually all have, for the same reason."""


def count_processes(gpus: int) -> int:
    """Processes of a training job that asked for so many GPUs: one for each that it may use, 1 on a CPU."""
    here = torch.cuda.device_count() if gpus else 0
    if 0 < here < gpus:
        logger.info("this job asked for %d GPUs and sees %d: it uses these", gpus, here)
    return max(1, min(here, gpus))


def run_in_processes(n: int, device: str, function: Callable[..., None], *args: Any) -> None:
    """Call a function in `n` processes that know of each other (see `emoadapt.machine.ranks`); with one, here.

    Args:
        n: processes.
        device: `auto`, `cpu` or `cuda`: they talk by NCCL on GPUs, by gloo on a CPU.
        function: of a module, as its processes are started afresh.
        args: its arguments, the same for all.

    Raises:
        EmoadaptError: that of the first process that raised one.
        TrainingError: a process ended otherwise than by returning.
    """
    if n == 1:
        function(*args)
        return
    context = multiprocessing.get_context("spawn")
    port, pipes = _find_port(), [context.Pipe(duplex=False) for _ in range(n)]
    processes = [
        context.Process(target=_run_rank, args=(rank, n, device, port, report, function, args), daemon=True)
        for rank, (_, report) in enumerate(pipes)
    ]
    reports = [report for report, _ in pipes]
    with _passing_signals_on(processes):
        for process, (_, end) in zip(processes, pipes, strict=True):
            process.start()
            end.close()
        try:
            errors, failed = _wait_for_all(processes, reports)
        finally:
            for process in processes:
                process.kill()
                process.join()
    if errors:
        raise errors[min(errors)]
    if failed:
        # One that was killed comes first: that the others lost it is no news.
        rank, status = min(failed.items(), key=lambda item: item[1])
        raise TrainingError(
            f"training process {rank} of {n} ended with exit status {status}; what it said is above in the log"
        )


def _wait_for_all(
    processes: Sequence[BaseProcess], reports: Sequence[Connection]
) -> tuple[dict[int, EmoadaptError], dict[int, int]]:
    """Until all have ended; from the first failure on only for a while.

    Reports are read meanwhile, as a process cannot end before one that is larger than a pipe has been read.

    Returns:
        Rank -> error that was reported; rank -> exit status of those that failed.
    """
    errors: dict[int, EmoadaptError] = {}
    unread = dict(zip(reports, range(len(reports)), strict=True))
    end = None
    while alive := [process.sentinel for process in processes if process.is_alive()]:
        if end is None and any(process.exitcode for process in processes):
            end = time.monotonic() + SECONDS_TO_END
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            break
        _read(unread, wait([*alive, *unread], left), errors)
    _read(unread, wait([*unread], 0), errors)
    return errors, {rank: process.exitcode for rank, process in enumerate(processes) if process.exitcode}


def _read(unread: dict[Connection, int], ready: Sequence[Any], errors: dict[int, EmoadaptError]) -> None:
    """Take the reports that are ready off `unread`; a process that ended without one has closed its end."""
    for report in [report for report in unread if report in ready]:
        rank = unread.pop(report)
        with suppress(EOFError, OSError):
            errors[rank] = report.recv()


@contextmanager
def _passing_signals_on(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Hand signals that end a job to the processes, which end in their own time, instead of dying of them."""

    def hand_on(number: int, _: Any) -> None:
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, hand_on) for number in list_heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_rank(
    rank: int, n: int, device: str, port: int, report: Connection, function: Callable[..., None], args: Sequence[Any]
) -> None:
    """One of the processes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(rank)
    dist.init_process_group("nccl" if gpu else "gloo", rank=rank, world_size=n, timeout=PATIENCE)
    try:
        function(*args)
    except EmoadaptError as error:
        report.send(error)
        sys.exit(1)
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """End this process when its parent ends; it would train without a purpose."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _find_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
