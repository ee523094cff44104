"""Outputs that Snakemake 9.27 would delete, although they are good or of another run."""

from __future__ import annotations

from typing import Any


def accept_early_outputs() -> None:
    """Let Snakemake keep an output that is older than an input of its job.

    Otherwise it fails the job and deletes what it has made. After a clock that was ahead has been put right, every job would fail
    until the time of its inputs is reached.
    """
    from snakemake.dag import DAG

    DAG.check_output_mtime = _do_nothing  # type: ignore[method-assign]


def leave_outputs_to_main_process() -> None:
    """Let the Snakemake process that runs a job on a cluster keep the output of a failed job.

    The main process deletes it, if it is alive. Later it may be the output of another run.
    """
    from snakemake.jobs import Job

    Job.cleanup = _do_nothing  # type: ignore[method-assign]


async def _do_nothing(*_: Any) -> None:
    """Neither refuse nor delete."""
