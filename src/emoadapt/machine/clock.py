"""Clocks that jump back, or differ between machines."""

from __future__ import annotations

from typing import Any


def accept_early_outputs() -> None:
    """Let Snakemake 9.27 keep an output that is older than an input of its job.

    Otherwise it fails the job and deletes what it has made. After a clock that was ahead has been put right, every job would fail
    until the time of its inputs is reached.
    """
    from snakemake.dag import DAG

    DAG.check_output_mtime = _accept  # type: ignore[method-assign]


async def _accept(*_: Any) -> None:
    """Refuse nothing."""
