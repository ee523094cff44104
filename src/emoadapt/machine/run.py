"""A run: the record of a Snakemake process, its lock, and what its jobs may publish.

Every main Snakemake process, dry runs included, has a record in `.snakemake/emoadapt.runs`, which the operating system keeps locked
until the process ends, however it ends. A process that finds all other records unlocked removes Snakemake's lock files as left over.

Jobs are handed the name of the record of their run. They wait for a share of its lock, which they get when Snakemake has ended: a
local job then ends as on SIGTERM, with its state kept; a job on a cluster continues. A run that begins in the folder waits for the
local jobs of dead runs, and deletes the records of dead runs. A job whose record is gone ends at once, and publishes nothing.

A file system without such locks (Lustre without `-o flock`) shows no process: left-over lock files are then Snakemake's own matter
(`--unlock`), and a job does not notice that Snakemake has ended. Where locks are seen on one host only (Lustre with
`-o localflock`, NFS with `local_lock`) a run on another host may be alive. Lock files are therefore removed on the host that made
them alone, and so are records, unless the lock files of the new run are the only ones.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from emoadapt.errors import DataError

logger = logging.getLogger(__name__)

RUNS = "emoadapt.runs"
"""Folder in `.snakemake` with a file for each run."""
VARIABLE = "EMOADAPT_RUN"
"""Environment variable with the path of a job's record; processes without it belong to no run and publish freely."""
SECONDS_FOR_JOBS = 60.0
"""How long a run waits for jobs of a dead one, which keep their state and end."""
_SECONDS_BETWEEN_LOOKS = 1.0

_own: dict[Path, int] = {}
"""Records of this process -> their descriptors, kept open until it ends."""


class Disowned(DataError):
    """The run of a job has ended, and another one has the folder."""


# --- in Snakemake's main process ----------------------------------------------------------------------


def enter_folder(folder: Path) -> bool:
    """Record this process, and remove the Snakemake lock files of killed runs.

    Lock files that may be of another host stay, and a sentence on the terminal names that host.

    Args:
        folder: the working directory, in which `.snakemake` lies.

    Returns:
        False if another process is alive there; lock files stay, and Snakemake refuses to start if they are of a run.
    """
    state = folder.absolute() / ".snakemake"
    (state / RUNS).mkdir(parents=True, exist_ok=True)
    others, left = _list_records(state), _find_left(state)
    own = _add_record(state, locks=not left)
    alone = bool(_is_held(own)) and all(_is_held(record) is False for record in others)
    if not (alone and left):
        return alone
    holders = [run for record in others if (run := _read(record)).get("locks", True)]
    elsewhere = dict.fromkeys(str(run.get("host", "an unknown host")) for run in holders if not _is_here(run))
    if holders and not elsewhere:
        for path in left:
            path.unlink(missing_ok=True)
        _write(own, locks=True)
    else:
        print(
            f"{state} contains lock files of a run on {' or '.join(elsewhere) or 'an unknown host'}; when it has ended, remove "
            "them with the same command and `--unlock`",
            file=sys.stderr,
        )
    return alone


def refuse_unlocking(folder: Path, arguments: Sequence[str]) -> None:
    """Refuse `--unlock` while another Snakemake process is known to be alive in a folder.

    Args:
        folder: the working directory.
        arguments: those of Snakemake.

    Raises:
        DataError: one is.
    """
    if any(argument.startswith("--unl") for argument in arguments) and (runs := _list_living(folder / ".snakemake")):
        found = ", ".join(f"process {run.get('process', '?')} on {run.get('host', '?')}" for run in runs)
        raise DataError(f"{folder} stays locked: Snakemake is running in it ({found}). Wait until it ends, or end it")


def begin_run(folder: Path, study: str) -> None:
    """Make this process the run that its jobs belong to, once local jobs of dead runs have ended.

    Jobs of dead runs that do not end may publish nothing from then on.

    To be called when Snakemake has written its lock files.

    Raises:
        OSError: the record cannot be written.
    """
    state = folder.absolute() / ".snakemake"
    # Without locks, a run that began meanwhile may have deleted the record as one of a dead run.
    own = next((record for record in _own if record.parent.parent == state and record.exists()), None) or _add_record(
        state
    )
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    _write(own, study=study, since=since, locks=True)
    for record in _list_records(state):
        if record not in _own and _is_over(record, state):
            _await_jobs(record)
            record.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(own)


def describe_run(folder: Path) -> str | None:
    """Describe the run that holds a folder, and what to do; None where none is known."""
    for run in _list_living(folder / ".snakemake"):
        if "study" in run:
            return (
                f"study {run['study']} is running in {folder} since {run['since']} (process {run['process']} on {run['host']}). "
                "Wait until it ends, or work in another folder: snakemake --directory FOLDER ..."
            )
    return None


# --- in a job -----------------------------------------------------------------------------------------


def join_run() -> None:
    """End this job when the Snakemake process that started it has ended; on a cluster, when another run begins.

    Raises:
        Disowned: another run has begun already.
    """
    if not os.environ.get(VARIABLE):
        return
    refuse_ended_run()
    record = Path(os.environ[VARIABLE])
    threading.Thread(target=_follow, args=(record, os.open(record, os.O_RDONLY)), daemon=True).start()


def refuse_ended_run(path: Path | None = None) -> None:
    """Refuse to publish for a run whose folder another one has taken over; to be called right before a result is replaced.

    Args:
        path: what is to be replaced.

    Raises:
        Disowned: it has.
    """
    if record := os.environ.get(VARIABLE):
        try:
            # Network file systems ask the server when a file is opened.
            os.close(os.open(record, os.O_RDONLY))
        except FileNotFoundError:
            kept = f"{path} stays as it is" if path else "nothing is written"
            raise Disowned(
                f"{kept}: the run that this job belongs to has ended, and another one has begun in its folder"
            ) from None


def _follow(record: Path, descriptor: int) -> None:
    """End this job with its run."""
    with suppress(OSError):  # no locks: that Snakemake has ended is not noticed
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if record.exists() and _is_local(os.getpid(), _read(record)):
            logger.warning("Snakemake has ended, and this job ends as well; the same command continues")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    while record.exists():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    logger.warning("another run has begun in the folder of this job, which ends and writes nothing")
    os._exit(128 + signal.SIGTERM)


# --- records ------------------------------------------------------------------------------------------


def _add_record(state: Path, **facts: Any) -> Path:
    """Add a record of this process, which is locked before others can see it.

    Raises:
        OSError: there is no room, or no right to write.
    """
    record = state / RUNS / secrets.token_hex(8)
    part = record.with_suffix(".part")
    _own[record] = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    with suppress(OSError):
        fcntl.flock(_own[record], fcntl.LOCK_EX | fcntl.LOCK_NB)
    _write(record, host=socket.gethostname(), boot=_boot(), process=os.getpid(), session=os.getsid(0), **facts)
    part.rename(record)
    atexit.register(_leave, record, os.getpid())
    return record


def _write(record: Path, **facts: Any) -> None:
    """Add facts to a record of this process."""
    descriptor = _own[record]
    text = json.dumps(_parse(os.pread(descriptor, 1 << 16, 0)) | facts).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _leave(record: Path, process: int) -> None:
    """Remove the record of a dry run, and keep that of a run, whose jobs may outlive it on a cluster."""
    if os.getpid() == process and "study" not in _read(record):
        record.unlink(missing_ok=True)
    elif os.getpid() == process:
        with suppress(OSError):
            _write(record, locks=False)


def _list_records(state: Path) -> list[Path]:
    return [path for path in sorted((state.absolute() / RUNS).glob("*")) if not path.suffix]


def _list_living(state: Path) -> list[dict[str, Any]]:
    """Facts of other processes that are alive."""
    return [_read(record) for record in _list_records(state) if record not in _own and _is_held(record)]


def _read(record: Path) -> dict[str, Any]:
    try:
        return _parse(record.read_bytes())
    except OSError:
        return {}


def _parse(text: bytes) -> dict[str, Any]:
    """Facts of a record; none if a full disk has left it empty."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {}


def _is_held(record: Path) -> bool | None:
    """Whether the process of a record is alive; None if the file system has no locks."""
    try:
        with record.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def _is_over(record: Path, state: Path) -> bool:
    """Whether a run has ended, so that its jobs may publish nothing more."""
    held = _is_held(record)
    # One file of inputs and one of outputs: with more of them another run, of other outputs, may be at work on another host.
    return (held is False and _is_here(_read(record))) or (not held and len(_find_left(state)) <= 2)


def _is_here(run: Mapping[str, Any]) -> bool:
    """Whether a run is of this host; containers on one host have names of their own and share what names its boot."""
    return run.get("host") == socket.gethostname() or run.get("boot") == _boot()


def _is_local(process: int, run: Mapping[str, Any]) -> bool:
    """Whether a process was started by a run itself; what a cluster starts has a session of its own."""
    return _is_here(run) and os.getsid(process) == run.get("session")


def _boot() -> str:
    """Name of a running system."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _find_left(state: Path) -> list[Path]:
    return list((state / "locks").glob("*.lock"))


# --- jobs of a dead run -------------------------------------------------------------------------------


def _await_jobs(record: Path) -> None:
    """Return when the local jobs of a dead run have ended, which they do by themselves, or after a minute."""
    end, said = time.monotonic() + SECONDS_FOR_JOBS, False
    while (jobs := list(_list_jobs(record))) and time.monotonic() < end:
        if not said:
            _say("waiting for jobs of a run whose Snakemake process was killed; they keep their state and end", jobs)
            said = True
        for job in jobs:
            with suppress(OSError):
                os.kill(job, signal.SIGCONT)  # one that was stopped would keep its GPU for ever
        time.sleep(0.1)
    if jobs:
        _say("jobs of a killed run have not ended; they can write no results. End them with kill -9", jobs)


def _list_jobs(record: Path) -> Iterator[int]:
    """Local processes that a run has started."""
    run, name = _read(record), record.name.encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _is_local(int(entry.name), run) and name in (entry / "environ").read_bytes():
                yield int(entry.name)


def _say(sentence: str, jobs: Sequence[int]) -> None:
    print(f"{sentence} (process {', '.join(map(str, jobs))})", file=sys.stderr)
