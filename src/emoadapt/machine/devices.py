"""Assignment of GPUs to jobs that share a machine.

Snakemake counts GPUs (`--resources gpu=4`) and does not say which. Here a job takes the first that is free, by a lock of the
operating system on a file per device, which the kernel lifts when the process ends, however it ends. The locks lie in a folder
of the machine and not among the results: two studies in two folders share GPUs too. Inside a SLURM job the scheduler
has chosen: only where it gave more GPUs than a job can use, as to a Snakemake that runs in an allocation, are they shared out, by
locks of that allocation. Programs that do not know these locks are not seen.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = Path("/tmp/emoadapt-gpus")
"""One place for all users of the machine, whatever TMPDIR says."""
SECONDS_BETWEEN_LOOKS = 0.2

_held: list[int] = []
"""Descriptors kept open until the process ends."""


def take_devices(count: int, folder: Path = LOCKS) -> list[str]:
    """Take GPUs for this process, wait until they are free, and let CUDA see no others.

    To be called before CUDA is used. Without GPUs nothing is taken and nothing changes; nor inside a SLURM job that was given no
    more than can be used.

    Args:
        count: GPUs that the job can use; where the machine has fewer, it is all of them.
        folder: where the lock files lie.

    Returns:
        The devices taken, as in CUDA_VISIBLE_DEVICES.
    """
    if count < 1:
        return []
    devices = list_devices()
    allocation = os.environ.get("SLURM_JOB_ID")
    if not devices or (allocation is not None and len(devices) <= count):
        return []
    # Numbers count from 0 in each allocation, and one waits for none of the others.
    prefix = "" if allocation is None else f"slurm-{allocation}-"
    taken = _lock_devices(devices, min(count, len(devices)), folder, prefix)
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


def _lock_devices(devices: Sequence[str], count: int, folder: Path, prefix: str) -> list[str]:
    """The first `count` devices that become free, in the order of the list; `prefix` begins the names of the lock files."""
    _make_folder(folder)
    # Only who holds the gate collects devices: two jobs that want two of two would else wait for each other for ever.
    gate = _open(folder / f"{prefix}gate.lock")
    fcntl.flock(gate, fcntl.LOCK_EX)
    try:
        taken: dict[str, int] = {}
        waiting = False
        while True:
            for device in devices:
                if device not in taken and len(taken) < count:
                    descriptor = _open(folder / f"{prefix}{re.sub(r'[^A-Za-z0-9-]', '_', device)}.lock")
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        taken[device] = descriptor
                    except BlockingIOError:
                        os.close(descriptor)
            if len(taken) == count:
                break
            if not waiting:
                logger.info("waiting for %d of the GPUs %s", count - len(taken), ", ".join(devices))
                waiting = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        os.close(gate)
    _held.extend(taken.values())
    return [device for device in devices if device in taken]


def _make_folder(folder: Path) -> None:
    """For all users of the machine, whoever comes first."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)


def _open(path: Path) -> int:
    """A descriptor to lock; reading is enough for that, so that another user's file will do."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)  # whatever the umask of whoever comes first
        return descriptor
