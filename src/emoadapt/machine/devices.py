"""Assignment of GPUs to jobs that share a machine.

Snakemake counts GPUs (`--resources gpu=4`) and does not say which. Here a job takes the first that is free, by a lock of the
operating system on a file per device, which the kernel lifts when the process ends, however it ends. The files lie in the temporary
folder of the machine and not among the results: two studies in two folders share GPUs too, and so do users. What another user has
put in their place (a link, a pipe, a folder) is not followed, waited for or locked. Inside a SLURM job the scheduler
has chosen: only where it gave more GPUs than a job can use, as to a Snakemake that runs in an allocation, are they shared out, by
locks of that allocation. Programs that do not know these locks are not seen.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import stat
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from emoadapt.errors import DataError

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARED = Path("/tmp")
"""One place for all users of the machine, whatever TMPDIR says."""
SECONDS_BETWEEN_LOOKS = 0.2

_held: list[int] = []
"""Descriptors kept open until the process ends."""


def take_devices(count: int, shared: Path = SHARED) -> list[str]:
    """Take GPUs for this process, wait until they are free, and let CUDA see no others.

    To be called before CUDA is used. Without GPUs nothing is taken and nothing changes; nor inside a SLURM job that was given no
    more than can be used.

    Args:
        count: GPUs that the job can use; where the machine has fewer, it is all of them.
        shared: where the lock files lie, for all users. If it cannot be trusted, a folder of this user is used.

    Returns:
        The devices taken, as in CUDA_VISIBLE_DEVICES.

    Raises:
        DataError: no folder can hold the lock files.
    """
    if count < 1:
        return []
    devices = list_devices()
    allocation = os.environ.get("SLURM_JOB_ID")
    if not devices or (allocation is not None and len(devices) <= count):
        return []
    # Numbers count from 0 in each allocation, and one waits for none of the others.
    prefix = "" if allocation is None else f"slurm-{allocation}-"
    taken = _lock_devices(devices, min(count, len(devices)), shared, prefix)
    os.environ[VISIBLE] = ",".join(taken)
    logger.info("on GPU %s", os.environ[VISIBLE])
    return taken


def list_devices() -> list[str]:
    """GPUs that this process may use: those of CUDA_VISIBLE_DEVICES if it is set, else all that the driver names.

    No library is loaded for it. Parts of a GPU (MIG) count as devices and stand in for the whole.
    """
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        # As CUDA reads it: the first that is no device ends the list.
        end = next((at for at, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:end]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return _ask_driver()
    return parse_devices(done.stdout) if done.returncode == 0 else []


def fit_threads(threads: int) -> int:
    """Limit threads to the cores that this process may use."""
    return max(1, min(threads, len(os.sched_getaffinity(0))))


def parse_devices(listing: str) -> list[str]:
    """UUIDs in the output of `nvidia-smi -L`; of a GPU that is divided, those of its parts."""
    devices: list[str] = []
    for line in listing.splitlines():
        if found := re.search(r"\(UUID: ((GPU|MIG)-[^)\s]+)\)", line):
            if found[2] == "MIG" and devices and devices[-1].startswith("GPU"):
                devices.pop()
            devices.append(found[1])
    return devices


def _ask_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """UUIDs from the kernel's list, for containers without `nvidia-smi`."""
    texts = [path.read_text() for path in sorted(folder.glob("*/information"))]
    return [found[1] for text in texts if (found := re.search(r"GPU UUID:\s*(GPU-\S+)", text))]


def _lock_devices(devices: Sequence[str], count: int, shared: Path, prefix: str) -> list[str]:
    """The first `count` devices that become free, in the order of the list; `prefix` is part of the names of the lock files."""
    names = [f"emoadapt-gpu-{prefix}{re.sub('[^A-Za-z0-9-]', '_', name)}.lock" for name in ("gate", *devices)]
    gate, *files = _open_all(names, shared)
    free, taken, waiting = dict(zip(devices, files, strict=True)), dict[str, int](), False
    while True:
        # Only who holds the gate collects devices: two jobs that want two of two would else wait for each other for ever.
        if _lock(gate):
            locked = (device for device in devices if device not in taken and _lock(free[device]))
            taken |= {device: free[device] for device in islice(locked, count - len(taken))}
        if len(taken) == count:
            break
        if not waiting:
            logger.info("waiting for %d of the GPUs %s", count - len(taken), ", ".join(devices))
            waiting = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    for descriptor in {gate, *files} - set(taken.values()):
        os.close(descriptor)
    for descriptor in taken.values():
        with suppress(OSError):
            os.utime(descriptor)  # what cleans temporary folders spares what is new
    _held.extend(taken.values())
    return [device for device in devices if device in taken]


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_all(names: Sequence[str], shared: Path) -> list[int]:
    """Descriptors of lock files: in the folder that all users share, or in one of this user if that cannot be trusted.

    Raises:
        DataError: neither can be used.
    """
    try:
        return _open_in(shared, names)
    except OSError as error:
        reason = error
    try:
        own = Path("~/.cache/emoadapt", f"gpus-{socket.gethostname()}").expanduser()
        own.mkdir(parents=True, exist_ok=True)
        found = _open_in(own, names)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        raise DataError(
            f"no lock file for a GPU can be made: {reason}, and {error}; make {shared} a folder with its usual permissions"
        ) from None
    logger.warning("GPUs are shared out in %s, where jobs of other users are not seen: %s", own, reason)
    return found


def _open_in(folder: Path, names: Sequence[str]) -> list[int]:
    """Descriptors of lock files.

    Raises:
        OSError: of a folder or file that others can tamper with, or that cannot be used.
    """
    status = folder.stat()
    if status.st_uid not in (0, os.getuid()) or (status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX):
        raise PermissionError(errno.EPERM, "other users can exchange files", str(folder))
    opened: list[int] = []
    try:
        for name in names:
            opened.append(_open(folder / name))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return opened


def _open(path: Path) -> int:
    """A descriptor to lock; reading is enough for that, so that another user's file will do.

    Raises:
        OSError: it is not a file of its own, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask of the first user
            return descriptor
    except PermissionError:
        pass  # not to be written, but it may be there
    descriptor = os.open(path, flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "is no file of its own", str(path))
    return descriptor
