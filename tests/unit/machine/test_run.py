"""Records of runs, lock files of killed ones, and what their jobs may publish."""

import atexit
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emoadapt.errors import DataError
from emoadapt.machine import run
from emoadapt.machine.run import VARIABLE, Disowned, begin_run, enter_folder, refuse_ended_run, refuse_unlocking
from emoadapt.storage.files import write_text

HOLD = """
import pathlib, sys
from emoadapt.machine.run import enter_folder
print(enter_folder(pathlib.Path(sys.argv[1])), flush=True)
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
    other, alone = start(tmp_path)
    left.touch()
    assert alone and not enter_folder(tmp_path) and left.exists()
    release()
    end(other)
    assert enter_folder(tmp_path) and not left.exists()
    release()


def test_a_run_that_began_during_a_dry_run_is_known_to_be_alive(tmp_path: Path) -> None:
    """Symptom: such a run held no lock, and the next one removed its lock files."""
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    dry, _ = start(tmp_path)
    other, alone = start(tmp_path)
    left.touch()
    end(dry)
    assert not alone and not enter_folder(tmp_path) and left.exists()
    release()
    end(other)


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
    monkeypatch.setattr(run, "_boot", lambda: boot or f"boot of {host}")
    return enter_folder(folder)


def test_lock_files_of_another_host_stay(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: where locks are local to a host, a second head process removed the lock files of a run that was alive."""
    left.unlink()
    start_on("login1", tmp_path, monkeypatch)
    left.touch()
    begin_run(tmp_path, "small")
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
    begin_run(tmp_path, "small")
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
    assert enter_folder(tmp_path) and left.exists()
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
    begin_run(tmp_path, "small")
    start_on("login2", tmp_path, monkeypatch)
    assert len(list(left.parent.iterdir())) == 4


def release() -> None:
    """Let go of what this process holds, as its end would."""
    atexit.unregister(run._leave)
    while run._own:
        os.close(run._own.popitem()[1])
    os.environ.pop(VARIABLE, None)


def test_a_file_system_without_locks_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lustre mounted without `-o flock`: nobody can know who else is alive, so lock files stay."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(run.fcntl, "flock", refuse)
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    left.touch()
    assert not enter_folder(tmp_path) and left.exists()
    (taken,) = run._own
    taken.unlink()  # by a run that cannot know that this process is alive
    begin_run(tmp_path, "small")
    write_text(tmp_path / "result", "of the run")
    release()


RUN = """
import os, pathlib, subprocess, sys
from emoadapt.machine.run import begin_run, enter_folder
folder = pathlib.Path(sys.argv[1])
enter_folder(folder)
begin_run(folder, "small")
os.chdir(folder)
job = subprocess.Popen([sys.executable, "-c", sys.argv[2]], start_new_session=sys.argv[3] == "cluster")
print(job.pid, flush=True)
sys.stdin.read()
"""
JOB = """
import pathlib, signal, sys, time
from emoadapt.machine.run import join_run
from emoadapt.storage.files import replacing
def keep(*_):
    pathlib.Path("state").write_text("kept")
    sys.exit()
join_run()
signal.signal(signal.SIGTERM, keep)
with replacing(pathlib.Path("result")) as part:
    part.write_text("of the old run")
    print("ready", flush=True)
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
pathlib.Path("published").touch()
"""
STUBBORN = JOB.replace("signal.signal(signal.SIGTERM, keep)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

Kill = Callable[..., tuple[int, subprocess.Popen[str]]]


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Kill]:
    """A run of which only Snakemake was killed, while its job was about to publish."""
    jobs: list[int] = []
    (tmp_path / "result").write_text("of an older run")

    def kill(program: str = JOB, place: str = "local", *, stopped: bool = False) -> tuple[int, subprocess.Popen[str]]:
        main = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), program, place],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert main.stdout is not None
        lines = {main.stdout.readline().strip(), main.stdout.readline().strip()} - {"ready"}
        job = int(lines.pop())
        jobs.append(job)
        if stopped:
            os.kill(job, signal.SIGSTOP)
        main.kill()
        main.wait()
        return job, main

    yield kill
    release()
    for job in jobs:
        with suppress(ProcessLookupError):
            os.kill(job, signal.SIGKILL)


def await_end(job: subprocess.Popen[str]) -> None:
    """Return when a job that has the output of its dead run has ended."""
    assert job.stdout is not None
    job.stdout.read()


def begin(folder: Path) -> None:
    """Begin a run in this process."""
    enter_folder(folder)
    begin_run(folder, "other")


def test_a_local_job_ends_with_its_state_when_snakemake_was_killed(tmp_path: Path, killed: Kill) -> None:
    """Symptom: it went on, and overwrote what a later run had made."""
    _, output = killed()
    await_end(output)
    assert (tmp_path / "state").read_text() == "kept"
    assert (tmp_path / "result").read_text() == "of an older run" and not list(tmp_path.glob(".result*"))


def test_a_run_wakes_the_stopped_job_of_a_dead_one_and_waits_for_it(
    tmp_path: Path, killed: Kill, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: it kept its GPU for ever, and published an hour later."""
    job, output = killed(stopped=True)
    begin(tmp_path)
    assert "waiting for jobs of a run whose Snakemake process was killed" in (said := capsys.readouterr().err)
    assert f"(process {job})" in said and (tmp_path / "state").read_text() == "kept"
    await_end(output)
    assert len(list((tmp_path / ".snakemake/emoadapt.runs").iterdir())) == 1


def test_a_job_that_does_not_end_publishes_nothing_when_another_run_has_begun(
    tmp_path: Path, killed: Kill, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, output = killed(STUBBORN)
    monkeypatch.setattr(run, "SECONDS_FOR_JOBS", 0.2)
    begin(tmp_path)
    assert f"they can write no results. End them with kill -9 (process {job})" in capsys.readouterr().err
    (tmp_path / "go").touch()
    await_end(output)
    assert (tmp_path / "result").read_text() == "of an older run" and not (tmp_path / "published").exists()


def test_a_job_on_a_cluster_continues_until_another_run_begins(tmp_path: Path, killed: Kill) -> None:
    job, output = killed(place="cluster")
    os.kill(job, 0)
    begin(tmp_path)
    await_end(output)
    assert not (tmp_path / "state").exists() and not (tmp_path / "published").exists()


def test_a_job_on_a_cluster_publishes_when_no_other_run_has_begun(tmp_path: Path, killed: Kill) -> None:
    _, output = killed(place="cluster")
    (tmp_path / "go").touch()
    await_end(output)
    assert (tmp_path / "result").read_text() == "of the old run"


def test_runs_of_other_targets_publish_side_by_side(tmp_path: Path) -> None:
    """And the first still does when the second was killed and a third has begun."""
    begin(tmp_path)
    first = os.environ[VARIABLE]
    second = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), "", "local"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert second.stdout is not None and second.stdout.readline()
    assert len(list((tmp_path / ".snakemake/emoadapt.runs").iterdir())) == 2
    end(second)
    third, _ = start(tmp_path)
    write_text(tmp_path / "result", "of the first")
    assert os.environ[VARIABLE] == first
    end(third)
    release()


def test_what_is_refused_says_what_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_ended_run(tmp_path / "result")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(Disowned, match="result stays as it is: the run that this job belongs to has ended"):
        write_text(tmp_path / "result", "late")
    assert not list(tmp_path.iterdir())


def test_a_run_that_ended_by_itself_has_left_no_lock_files(
    left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.unlink()
    start_on("login1", tmp_path, monkeypatch)
    begin_run(tmp_path, "small")
    run._leave(*run._own, os.getpid())
    start_on("login2", tmp_path, monkeypatch)
    left.touch()
    start_on("login2", tmp_path, monkeypatch)
    assert not left.exists()


def test_a_record_that_a_full_disk_left_empty_is_of_an_unknown_host(
    left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".snakemake/emoadapt.runs").mkdir()
    (tmp_path / ".snakemake/emoadapt.runs/0123").touch()
    assert enter_folder(tmp_path) and left.exists()
    assert "a run on an unknown host" in capsys.readouterr().err


def test_a_live_run_is_not_unlocked(tmp_path: Path) -> None:
    other, _ = start(tmp_path)
    refuse_unlocking(tmp_path, ["--dry-run"])
    with pytest.raises(DataError, match=rf"stays locked: Snakemake is running in it \(process {other.pid} on "):
        refuse_unlocking(tmp_path, ["snakemake", "--unlock"])
    end(other)
    refuse_unlocking(tmp_path, ["snakemake", "--unlock"])
