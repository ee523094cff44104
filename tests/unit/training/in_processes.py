"""What `test_processes.py` calls in processes of their own, which import it afresh."""

import os
import signal
from dataclasses import replace
from pathlib import Path

from emoadapt.errors import TrainingError
from emoadapt.machine.ranks import count_ranks, find_rank, gather
from emoadapt.training.jobs import AdaptationJob, TaskJob, run_job


def adapt_all(jobs: dict[str, AdaptationJob]) -> None:
    """Stage-1 jobs, each into `<name>.<number of processes>`."""
    for name, job in jobs.items():
        target = job.output.with_name(f"{name}.{count_ranks()}")
        run_job(replace(job, output=target, curves=Path(f"{target}.curves.parquet"), threads=2), 0)


def finetune_all(job: TaskJob) -> None:
    """A job on a task, into `<number of processes>`."""
    run_job(replace(job, output=job.output.with_name(str(count_ranks()))), 0)


def fail(number: int) -> None:
    """An error of ours in one process, while the others wait for it."""
    if find_rank() == number:
        raise TrainingError(f"process {number} has no clips")
    gather([0])


def fail_at_length(number: int) -> None:
    """An error of more than a pipe holds, in every process."""
    raise TrainingError(f"process {find_rank()} has wrong clips: {'x' * number}")


def die(number: int) -> None:
    """One process is killed, while the others wait for it."""
    if find_rank() == number:
        os.kill(os.getpid(), signal.SIGKILL)
    gather([0])
