"""Removal of the Snakemake lock files of killed runs.

Every Snakemake process in a folder, dry runs included, shares a lock of the operating system for as long as it lives,
however it ends. Who can have that lock for itself knows that no other process is alive there, so that lock files are
left over. A file system without such locks (Lustre without `-o flock`) gets none: left-over files are then Snakemake's own
matter (`--unlock`). Where locks are seen on one host only (Lustre with `-o localflock`, NFS with `local_lock`) a run on another
host may be alive; so the file holds the names of the hosts that Snakemake's lock files may be of, and they go only on that one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

LOCK = "emoadapt.lock"
"""File in `.snakemake`."""
RUN = "emoadapt.run"
"""File in `.snakemake` that says who runs, and is locked as long as it is true."""
_held: list[int] = []
"""Descriptors kept open until the process ends."""


def clear_stale_locks(folder: Path) -> bool:
    """Remove lock files of a killed run, and mark this process as alive.

    Of lock files that may be of another host a sentence tells instead.

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
    left = _find_left(state)
    if alone and left:
        holders = _read_holders(state)
        others = dict.fromkeys(host for host, boot in holders if socket.gethostname() != host and _boot() != boot)
        if holders and not others:
            for path in left:
                path.unlink(missing_ok=True)
            left = []
        else:
            print(
                f"{state.absolute()} contains lock files of a run on {' or '.join(others) or 'an unknown host'}; when it has ended, remove "
                "them with the same command and `--unlock`",
                file=sys.stderr,
            )
    if not left:
        _note_holder(state)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return alone


def claim_locks(folder: Path, study: str) -> None:
    """Record that the lock files of a run are of this host, and which study runs.

    To be called when Snakemake has written them.
    """
    state = folder / ".snakemake"
    _note_run(state, study)
    # One file of inputs and one of outputs: with more of them another run, of other outputs, is at work too.
    _note_holder(state, alone=len(_find_left(state)) <= 2)


def _note_run(state: Path, study: str) -> None:
    """Record which study runs, in a file that stays locked until this process ends.

    Where a run of other outputs holds the lock, its record stays.
    """
    with suppress(OSError):
        descriptor = os.open(state / RUN, os.O_RDWR | os.O_CREAT, 0o666)
        _held.append(descriptor)
        if _lock(descriptor):
            since = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
            run = {"study": study, "host": socket.gethostname(), "process": os.getpid(), "since": since}
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(run).encode())


def describe_run(folder: Path) -> str | None:
    """Describe the run that holds a folder, and what to do; None where none is known."""
    try:
        with (folder / ".snakemake" / RUN).open("r+b") as file:
            if _lock(file.fileno()) is not False:
                return None
            run = json.loads(file.read())
        return (
            f"study {run['study']} is running in {folder} since {run['since']} (process {run['process']} on {run['host']}). "
            "Wait until it ends, or work in another folder: snakemake --directory FOLDER ..."
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _find_left(state: Path) -> list[Path]:
    return list((state / "locks").glob("*.lock"))


def _read_holders(state: Path) -> list[tuple[str, str]]:
    """Name and boot of the hosts that lock files may be of."""
    lines = (line.partition(" ") for line in (state / LOCK).read_text(errors="replace").splitlines())
    return [(host, boot) for host, _, boot in lines if host]


def _note_holder(state: Path, *, alone: bool = False) -> None:
    """Put this host's name into the lock file; on a full disk it stays as it was, or is empty."""
    own = socket.gethostname(), _boot()
    with suppress(OSError):
        if alone:
            (state / LOCK).write_text(f"{own[0]} {own[1]}\n")
        elif own not in _read_holders(state):
            with (state / LOCK).open("a") as file:
                file.write(f"{own[0]} {own[1]}\n")


def _boot() -> str:
    """What names a running system: containers on one host have names of their own and this in common."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _lock(descriptor: int) -> bool | None:
    """Try to take the lock; None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
