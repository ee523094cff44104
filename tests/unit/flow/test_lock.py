"""Locks of killed runs."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emoadapt.flow import lock
from emoadapt.flow.lock import clear_stale_locks

HOLD = """
import pathlib, sys
from emoadapt.flow.lock import clear_stale_locks
print(clear_stale_locks(pathlib.Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def start(folder: Path) -> tuple[subprocess.Popen[str], bool]:
    """Another process that lives in the folder, and whether it found itself alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline() == "True\n"


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_lock_files_of_a_dead_run_go_and_those_of_a_live_one_stay(tmp_path: Path) -> None:
    """Symptom: after `kill -9` the same command ended with `Directory cannot be locked`."""
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    run, alone = start(tmp_path)
    left.touch()
    assert alone and not clear_stale_locks(tmp_path) and left.exists()
    release()
    end(run)
    assert clear_stale_locks(tmp_path) and not left.exists()
    release()


def test_a_run_that_began_during_a_dry_run_is_known_to_be_alive(tmp_path: Path) -> None:
    """Symptom: such a run held no lock, and the next one removed its lock files."""
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    dry, _ = start(tmp_path)
    run, alone = start(tmp_path)
    left.touch()
    end(dry)
    assert not alone and not clear_stale_locks(tmp_path) and left.exists()
    release()
    end(run)


def release() -> None:
    """Let go of what this process holds, as its end would."""
    while lock._held:
        os.close(lock._held.pop())


def test_a_file_system_without_locks_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lustre mounted without `-o flock`: nobody can know who else is alive, so lock files stay."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    left.touch()
    assert not clear_stale_locks(tmp_path) and left.exists()
    release()
