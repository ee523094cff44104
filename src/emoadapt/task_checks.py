"""Checks of tasks before a run, remembered: Snakemake starts often, and a large corpus takes seconds to split."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from emoadapt.dag import RESULTS, Graph
from emoadapt.errors import EmoadaptError
from emoadapt.flow.parts import Overtaken, write_text


def check_tasks(graph: Graph) -> None:
    """Check labels, classes, splits, subsets and leaks as `emoadapt check` does, before anything runs.

    A task that passed is not looked at again until something that decides it changes.

    Raises:
        EmoadaptError: all that would stop a task.
    """
    problems = []
    for task in graph.study.tasks:
        seen, state = Path(RESULTS, ".cache", "tasks", f"{task}.txt"), graph.task_state(task)
        if seen.is_file() and seen.read_text(encoding="utf-8", errors="replace") == state:
            continue
        # Here, since it loads polars, which most starts do without.
        from emoadapt.check import find_task_problems

        if found := find_task_problems(graph.study, task):
            problems += found
        else:
            with suppress(Overtaken, OSError):
                write_text(seen, state)
    if problems:
        raise EmoadaptError("\n".join(problems))
