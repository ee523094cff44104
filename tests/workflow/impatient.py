"""Snakemake, asking after jobs on a cluster every second.

The plugin for SLURM waits ten seconds longer each time that no job has ended, which is right for a cluster of many and wrong
for tests. All else is Snakemake's own.
"""

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep_a_second(executor: RemoteExecutor) -> None:
    await asyncio.sleep(1)


RemoteExecutor.sleep = sleep_a_second

if __name__ == "__main__":
    main()
