"""After a `kill -9` the same command must go on: Snakemake's lock files then stay behind and would stop it.

A run holds a lock of the operating system for as long as it lives, however it ends. Who gets that lock knows that no
other run is alive in this folder, so lock files found there are left over.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_held: list[int] = []
"""Descriptors kept open until the process ends."""


def clear_stale_locks(folder: Path) -> bool:
    """Take the run lock of a working directory and remove lock files that a killed run left behind.

    Args:
        folder: the working directory, in which `.snakemake` lies.

    Returns:
        False if another run is alive there; its lock files stay, and Snakemake then refuses to start.
    """
    state = folder / ".snakemake"
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "emoadapt.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    for path in (state / "locks").glob("*.lock"):
        path.unlink(missing_ok=True)
    return True
