"""After a `kill -9` the same command must go on: Snakemake's lock files then stay behind and would stop it.

Every Snakemake process in a folder, dry runs included, shares a lock of the operating system for as long as it lives,
however it ends. Who can have that lock for itself knows that no other process is alive there, so that lock files are
left over. A file system without such locks (Lustre without `-o flock`) gets none: left-over files are then Snakemake's own
matter (`--unlock`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "emoadapt.lock"
"""File in `.snakemake`."""
_held: list[int] = []
"""Descriptors kept open until the process ends."""


def clear_stale_locks(folder: Path) -> bool:
    """Remove lock files that a killed run left behind, and say from now on that this process is alive.

    Args:
        folder: the working directory, in which `.snakemake` lies.

    Returns:
        False if another process is alive there; lock files stay, and Snakemake refuses to start if they are of a run.
    """
    state = folder / ".snakemake"
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    _held.append(descriptor)
    alone = _lock(descriptor) is True
    if alone:
        for path in (state / "locks").glob("*.lock"):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return alone


@contextmanager
def keep_out_others(folder: Path, name: str = LOCK) -> Iterator[bool]:
    """Whether no Snakemake process is alive in a folder; one that is started meanwhile waits.

    With another name, whether nobody else holds that lock. Where the file system has no locks nobody is seen, and nobody waits.
    """
    (folder / ".snakemake").mkdir(parents=True, exist_ok=True)
    with (folder / ".snakemake" / name).open("a") as file:
        yield _lock(file.fileno()) is not False


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free, and is now ours; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
