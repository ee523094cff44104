"""Locks of killed runs."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt.machine import lock
from emoadapt.machine.lock import clear_stale_locks

HOLD = """
import pathlib, sys
from emoadapt.machine.lock import clear_stale_locks
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


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    """A lock file of Snakemake, in a folder whose lock nobody holds."""
    path = tmp_path / ".snakemake/locks/0.input.lock"
    path.parent.mkdir(parents=True)
    path.touch()
    yield path
    release()


def start_on(host: str, folder: Path, monkeypatch: pytest.MonkeyPatch, boot: str | None = None) -> bool:
    """As if on another machine, whose locks are not seen here."""
    release()
    monkeypatch.setattr("socket.gethostname", lambda: host)
    monkeypatch.setattr(lock, "_boot", lambda: boot or f"boot of {host}")
    return clear_stale_locks(folder)


def test_lock_files_of_another_host_stay(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: where locks are local to a host, a second head process removed the lock files of a run that was alive."""
    left.unlink()
    start_on("login1", tmp_path, monkeypatch)
    left.touch()
    lock.claim_locks(tmp_path, "small")
    assert start_on("login2", tmp_path, monkeypatch) and left.exists()
    assert f"{tmp_path}/.snakemake contains lock files of a run on login1; " in (said := capsys.readouterr().err)
    assert "the same command and `--unlock`" in said
    assert start_on("login2", tmp_path, monkeypatch) and left.exists()
    assert start_on("login1", tmp_path, monkeypatch, "next boot") and not left.exists()
    assert not capsys.readouterr().err.replace(said, "")


def test_a_dry_run_elsewhere_takes_no_lock_files_over(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began before the run had written its lock files, and so found none."""
    left.unlink()
    start_on("login1", tmp_path, monkeypatch)
    start_on("login2", tmp_path, monkeypatch)
    left.touch()
    start_on("login2", tmp_path, monkeypatch)
    assert left.exists()
    lock.claim_locks(tmp_path, "small")
    start_on("login2", tmp_path, monkeypatch)
    assert not left.exists()


def test_a_container_of_another_name_on_the_same_host_continues(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.unlink()
    start_on("4f1c", tmp_path, monkeypatch, "boot")
    left.touch()
    start_on("a07b", tmp_path, monkeypatch, "boot")
    assert not left.exists()


def test_lock_files_of_unknown_hosts_stay(left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clear_stale_locks(tmp_path) and left.exists()
    assert "a run on an unknown host" in capsys.readouterr().err


def test_of_two_runs_on_two_hosts_neither_claims_all_lock_files(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.unlink()
    start_on("login1", tmp_path, monkeypatch)
    start_on("login2", tmp_path, monkeypatch)
    for number in range(2):
        for kind in ("input", "output"):
            left.with_name(f"{number}.{kind}.lock").touch()
    lock.claim_locks(tmp_path, "small")
    start_on("login2", tmp_path, monkeypatch)
    assert len(list(left.parent.iterdir())) == 4


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
