"""Cache of tasks that passed their check.

Snakemake starts often, and splitting a large corpus takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from emoadapt.errors import EmoadaptError
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.study.graph import RESULTS, Graph

PASSED = Path(RESULTS, ".cache", "tasks")
"""Folder with the state in which each task passed."""


def check_tasks(graph: Graph) -> None:
    """Check labels, classes, splits, subsets and leaks as `emoadapt check` does, before anything runs.

    A task that passed is not looked at again until something that decides it changes.

    Raises:
        EmoadaptError: all that would stop a task.
    """
    states = {task: graph.task_state(task) for task in graph.study.tasks}
    changed = [task for task, state in states.items() if read_cache(PASSED / f"{task}.json") != state]
    if not changed:
        return
    # Here, since they load polars, which most starts do without.
    from emoadapt.study.check.listings import Listings
    from emoadapt.study.check.tasks import find_task_problems

    listings, problems = Listings(graph.study), []
    for task in changed:
        if found := find_task_problems(listings, task):
            problems += found
        else:
            write_cache(PASSED / f"{task}.json", states[task])
    if problems:
        raise EmoadaptError("\n".join(problems))
