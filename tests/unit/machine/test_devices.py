"""GPUs shared by jobs: made-up device lists, real processes."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emoadapt.errors import DataError
from emoadapt.machine import devices
from emoadapt.machine.devices import VISIBLE, list_devices, parse_devices, take_devices

JOB = """
import logging, os, sys
from pathlib import Path
from emoadapt.machine.devices import take_devices
logging.basicConfig(stream=sys.stdout, level=sys.argv[3], format="%(message)s")
take_devices(int(sys.argv[2]), Path(sys.argv[1]))
print("sees", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""
"""Takes GPUs, says which it sees, and keeps them until its input ends."""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    jobs = []
    (tmp_path / "locks").mkdir()

    def start_job(
        count: int = 1, visible: str = "0,1", level: str = "INFO", allocation: str = ""
    ) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        environment |= {
            "HOME": str(tmp_path / "home"),
            VISIBLE: visible,
            "PYTHONPATH": str(Path(devices.__file__).parents[2]),
            "PYTHONUNBUFFERED": "1",
        }
        if allocation:
            environment["SLURM_JOB_ID"] = allocation
        job = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path / "locks"), str(count), level],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        jobs.append(job)
        return job

    yield start_job
    for job in jobs:
        job.kill()
        job.communicate()


def read_line(job: subprocess.Popen[str], beginning: str) -> str:
    """The rest of the next line that begins like this."""
    assert job.stdout is not None
    return next(line for line in job.stdout if line.startswith(beginning)).removeprefix(beginning).strip()


def test_jobs_take_different_gpus_and_a_third_waits_for_one_that_dies(start: Start) -> None:
    first, second = start(), start()
    seen = {job: read_line(job, "sees") for job in (first, second)}
    assert sorted(seen.values()) == ["0", "1"]
    third = start()
    assert read_line(third, "waiting for") == "1 of the GPUs 0, 1"
    second.send_signal(signal.SIGKILL)
    assert read_line(third, "sees") == seen[second]


def test_jobs_that_want_all_gpus_do_not_wait_for_each_other_for_ever(start: Start) -> None:
    """Symptom: each of two jobs holds one GPU of two and waits for the other."""
    one = start()
    read_line(one, "sees")
    pairs = [start(count=2, level="ERROR"), start(count=2, level="ERROR")]
    one.communicate("")
    while pairs:
        readable, _, _ = select.select([job.stdout for job in pairs], [], [])
        ready = next(job for job in pairs if job.stdout in readable)
        assert read_line(ready, "sees") == "0,1"
        pairs.remove(ready)
        ready.communicate("")


def test_only_what_cuda_sees_is_shared_out(start: Start) -> None:
    assert read_line(start(visible="3, GPU-ab/c,-1,5"), "sees") == "3"
    assert read_line(start(visible="3, GPU-ab/c,-1,5"), "sees") == "GPU-ab/c"


def test_where_there_are_fewer_all_are_taken(start: Start) -> None:
    assert read_line(start(count=3), "sees") == "0,1"


def test_in_an_allocation_its_gpus_are_shared_out(start: Start) -> None:
    """Symptom: of four GPUs of an `salloc` the first got all jobs."""
    jobs = [start(allocation="7") for _ in range(2)]
    assert sorted(read_line(job, "sees") for job in jobs) == ["0", "1"]
    waiting = start(allocation="7")
    assert read_line(waiting, "waiting for") == "1 of the GPUs 0, 1"
    # The devices of another allocation, or of none, may have the same numbers.
    assert read_line(start(allocation="8"), "sees") == "0"
    assert read_line(start(), "sees") == "0"


def test_in_a_slurm_job_the_schedulers_choice_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(VISIBLE, "2,3")
    assert take_devices(2, tmp_path / "locks") == []
    assert os.environ[VISIBLE] == "2,3" and not (tmp_path / "locks").exists()


@pytest.mark.parametrize("visible", ["", "-1"])
def test_without_gpus_nothing_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv(VISIBLE, visible)
    assert take_devices(1, tmp_path / "locks") == [] and not (tmp_path / "locks").exists()


def test_the_driver_is_asked_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA X (UUID: GPU-11)'\necho 'GPU 1: NVIDIA X (UUID: GPU-22)'\n")
    program.chmod(0o755)
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert list_devices() == ["GPU-11", "GPU-22"]


def test_parts_of_a_gpu_stand_in_for_it() -> None:
    listing = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aa)
  MIG 3g.20gb     Device  0: (UUID: MIG-01)
  MIG 3g.20gb     Device  1: (UUID: MIG-02)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bb)
"""
    assert parse_devices(listing) == ["MIG-01", "MIG-02", "GPU-bb"]


def test_the_kernels_list_is_read_where_the_program_is_missing(tmp_path: Path) -> None:
    for number, uuid in enumerate(("GPU-11", "GPU-22")):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text(
            f"Model: \t\t NVIDIA X\nIRQ:   \t\t 1\nGPU UUID: \t {uuid}\nVideo BIOS: \t x\n"
        )
    assert devices._ask_driver(tmp_path) == ["GPU-11", "GPU-22"]


def test_whoever_comes_first_leaves_locks_that_others_can_open(tmp_path: Path) -> None:
    """Symptom: with a umask of 077 the jobs of another user ended with PermissionError."""
    before = os.umask(0o077)
    try:
        os.close(devices._open(tmp_path / "0.lock"))
    finally:
        os.umask(before)
    assert (tmp_path / "0.lock").stat().st_mode & 0o777 == 0o666


def put_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def put_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("made through the link"))


def put_hard_link(path: Path) -> None:
    path.with_name("database").touch()
    os.link(path.with_name("database"), path)


def let_others_exchange(path: Path) -> None:
    path.parent.chmod(0o777)


def give_away(path: Path) -> None:
    os.chown(path.parent, 12345, -1)


def remove_folder(path: Path) -> None:
    path.parent.rmdir()


TRICKS = [
    os.mkfifo, Path.mkdir, put_link, put_dangling_link, put_hard_link, let_others_exchange, give_away, remove_folder,
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_what_others_put_in_place_of_lock_files_stops_no_job(
    start: Start, tmp_path: Path, trick: Callable[[Path], None]
) -> None:
    """Symptom: a job hung on a pipe for ever, or ended with a traceback."""
    if trick is give_away and os.geteuid():
        pytest.skip("only root gives folders away")
    trick(tmp_path / "locks/emoadapt-gpu-1.lock")
    first, second = start(), start()
    said = read_line(first, "GPUs are shared out in ")
    assert str(tmp_path / "home/.cache/emoadapt/gpus-") in said and "jobs of other users are not seen: " in said
    assert sorted(read_line(job, "sees") for job in (first, second)) == ["0", "1"]
    assert not (tmp_path / "locks/made through the link").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes other users")
def test_users_share_gpus() -> None:
    """The second opens the files of the first; where it may not, it takes its own."""
    shared = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        shared.chmod(0o1777)
        names = ["emoadapt-gpu-gate.lock", "emoadapt-gpu-0.lock"]
        for name in names:
            as_user(101, devices._open, shared / name)
        as_user(102, devices._open_in, shared, names)
        (shared / names[1]).chmod(0o600)
        with pytest.raises(PermissionError):
            as_user(102, devices._open_in, shared, names)
    finally:
        shutil.rmtree(shared)


def as_user(number: int, function: Callable[..., object], *arguments: object) -> None:
    os.seteuid(number)
    try:
        function(*arguments)
    finally:
        os.seteuid(0)


def test_without_any_place_for_locks_a_sentence_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv(VISIBLE, "0")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(
        DataError, match=r"no lock file for a GPU can be made: .*; make .*away a folder with its usual permissions"
    ):
        take_devices(1, tmp_path / "away")


def test_a_lock_file_in_use_is_no_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: programs that clean temporary folders deleted it after ten days; two jobs then had the same GPU."""
    monkeypatch.setenv(VISIBLE, "0")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    path = tmp_path / "emoadapt-gpu-0.lock"
    path.touch()
    os.utime(path, (0, 0))
    assert take_devices(1, tmp_path) == ["0"]
    os.close(devices._held.pop())
    assert path.stat().st_mtime > 0


def test_a_job_takes_no_more_threads_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert [devices.fit_threads(wanted) for wanted in (1, 2, 4)] == [1, 2, 2]
