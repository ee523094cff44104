"""A SLURM cluster of one node on this machine: two CPUs, one pretend GPU; needs root, and no systemd.

Debian packages: slurmctld slurmd slurm-client munge. The configuration must be found at /etc/slurm, because Snakemake's
job steps run without SLURM's environment variables.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")
SYSTEM = Path("/etc/slurm")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16827
SlurmdPort=16828
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={base}/munge.socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.log
ProctrackType=proctrack/linuxproc
SlurmdParameters=config_overrides
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmctldTimeout=5
SlurmdTimeout=60
KillWait=8
MinJobAge=3600
MailProg=/bin/true
JobRequeue=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE DefaultTime=00:10:00 State=UP
"""


def find_obstacle() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.geteuid():
        return "SLURM's daemons need root here"
    missing = [name for name in PROGRAMS if _find(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    if (SYSTEM / "slurm.conf").is_file() and not (SYSTEM / "slurm.conf").is_symlink():
        return f"{SYSTEM}/slurm.conf belongs to another cluster"
    return None


@dataclass(frozen=True)
class Job:
    """A job that SLURM knows: state, ISO times, whether it was given the GPU, memory and time limit as SLURM writes them, restarts."""

    state: str
    start: str
    end: str
    gpu: bool
    memory: str
    limit: str
    restarts: int


class Cluster:
    """The daemons, below one folder.

    Args:
        base: folder for state, logs and sockets.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.host = socket.gethostname().split(".")[0]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all daemons and wait until the node is idle."""
        for folder in ("state", "spool", "munge"):
            (self.base / folder).mkdir(parents=True, mode=0o700)
        key = self.base / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        (self.base / "slurm.conf").write_text(
            CONFIGURATION.format(host=self.host, base=self.base, memory=max(memory - 512, 1024))
        )
        (self.base / "gres.conf").write_text(f"AutoDetect=off\nNodeName={self.host} Name=gpu File=/dev/null\n")
        SYSTEM.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).unlink(missing_ok=True)
            (SYSTEM / name).symlink_to(self.base / name)
        self._spawn(
            "munged", "--foreground", "--force", f"--socket={self.base}/munge.socket", f"--key-file={key}",
            f"--pid-file={self.base}/munge/pid", f"--seed-file={self.base}/munge/seed", f"--log-file={self.base}/munge/log",
        )  # fmt: skip
        _await(lambda: (self.base / "munge.socket").exists(), "munged")
        self._spawn("slurmctld", "-D", "-c")
        self.start_node()

    def start_node(self) -> None:
        """Bring the node up, and wait until it takes jobs."""
        self._spawn("slurmd", "-D", "-N", self.host)
        _await(lambda: run("sinfo", "-h", "-o", "%t").strip() in ("idle", "mix", "alloc"), "the node")

    def kill_node(self) -> None:
        """Take the node down with its jobs, as when its power fails: nothing is left that could report how a job ended.

        The controller is told at once what it would find out within `SlurmdTimeout`.
        """
        pids = [pid for job in self.list_running() for pid in list_pids(job)]
        parents = {int(read_status(pid).get("PPid", 0)) for pid in pids}
        keepers = [pid for pid in parents if read_status(pid).get("Name") == "slurmstepd"]
        self._stop("slurmd", signal.SIGKILL)
        for pid in [*keepers, *pids]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=power")

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons."""
        run("scancel", "-u", "root")
        for name in ("slurmd", "slurmctld", "munged"):
            self._stop(name, signal.SIGTERM)
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).unlink(missing_ok=True)

    def read_jobs(self) -> list[Job]:
        """All jobs so far, in the order of their numbers."""
        lines = run("scontrol", "--oneliner", "show", "jobs").splitlines()
        found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return [
            Job(
                job["JobState"],
                job["StartTime"],
                job["EndTime"],
                "gpu" in job.get("TresPerJob", ""),
                job["MinMemoryNode"],
                job["TimeLimit"],
                int(job["Restarts"]),
            )
            for job in found
        ]

    def list_running(self) -> list[str]:
        """Numbers of the jobs that run."""
        return run("squeue", "-h", "-t", "R", "-o", "%A").split()

    def cancel_jobs(self) -> list[str]:
        """Cancel what runs; returns the jobs' numbers."""
        jobs = self.list_running()
        run("scancel", *jobs)
        return jobs

    def exhaust_time(self, job: str) -> None:
        """Let the time that a job may run be over; SLURM looks every half minute."""
        run("scontrol", "update", f"JobId={job}", "EndTime=now")

    def await_other_job(self, job: str, process: subprocess.Popen[bytes]) -> str:
        """Return the number of the job that runs, when it is another than `job`; fail if the process that sends jobs ends before.

        Only the process knows when: its plugin looks the less often after a job, the longer that takes.
        """
        _await(lambda: self.list_running() not in ([], [job]), "the next job", process)
        return self.list_running()[0]

    def await_empty_queue(self) -> None:
        """Return when nothing waits or runs."""
        _await(lambda: not run("squeue", "-h").strip(), "an empty queue")

    def signal_job(self, job: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a job."""
        for pid in list_pids(job):
            os.kill(pid, number)

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.base / f"{name}.out").open("ab") as log:
            program = _find(name)
            assert program is not None
            self._daemons[name] = subprocess.Popen(
                [program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _stop(self, name: str, number: signal.Signals) -> None:
        if daemon := self._daemons.pop(name, None):
            daemon.send_signal(number)
            daemon.wait(300)


def run(*command: str) -> str:
    """Output of a SLURM command."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def list_pids(job: str) -> list[int]:
    """All processes of a job."""
    pids = [int(word) for word in run("scontrol", "listpids", job).split() if word.isdigit() and int(word) > 1]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def read_status(pid: int) -> dict[str, str]:
    """What Linux says of a process (`Name`, `PPid` and others); nothing if it is over."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    return {}


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _await(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Poll until something is ready; fail if the process that it comes from ends, or, without one, after five minutes."""
    for _ in itertools.count() if process else range(3000):
        if ready():
            return
        if process and process.poll() is not None:
            break
        subprocess.run(["sleep", "0.1"], check=True)
    raise RuntimeError(f"{what} did not come up")
