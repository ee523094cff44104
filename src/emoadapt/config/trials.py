"""Checks of trials: partitions, draws and seeds that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emoadapt.errors import Change, Problem

if TYPE_CHECKING:
    from emoadapt.config.study import Study


def check_tested_parts(study: Study, name: str) -> Iterator[Problem]:
    """Yield what is wrong with the test parts of other tasks that a task is tested on."""
    task = study.tasks[name]
    for corpus, whose in task.tested_parts.items():
        there = [other for other, config in study.tasks.items() if config.corpus == corpus != task.corpus]
        found = [other for other in there if whose in ("test", other)]
        if len(found) != 1:
            known = f"there is {', '.join(there)}" if there else "there is none"
            yield Problem(
                f"tasks.{name}.test_also.{corpus}",
                f"{whose} means the test part of a task on {corpus}; {known}; name one of them, "
                "or write all for the whole corpus",
                *(Change(f"tasks.{name}.test_also.{corpus}", right) for right in [*there, "all"]),
            )
        elif study.tasks[found[0]].split.by == "all":
            yield Problem(
                f"tasks.{name}.test_also.{corpus}",
                f"task {found[0]} has no test part; write all",
                Change(f"tasks.{name}.test_also.{corpus}", "all"),
            )


def find_unpaired(study: Study) -> list[Problem]:
    """A sentence for each task whose trials lack a partition, a draw or a seed."""
    problems: list[Problem] = []
    for name, task in study.tasks.items():
        others = tuple(study.find_tested_tasks(name).values())
        sizes = {study.tasks[other].partitions for other in (name, *others)} - {1}
        if len(sizes) > 1:
            problems.append(
                Problem(
                    f"tasks.{name}.test_also",
                    f"{', '.join((name, *others))} have {', '.join(map(str, sorted(sizes)))} partitions; "
                    "a trial takes the same partition of each, so make these numbers equal",
                )
            )
        elif task.trials == "paired":
            problems += _compare_numbers(study, name)
        elif study.count_partitions(name) > task.partitions:
            problems.append(
                Problem(
                    f"tasks.{name}.test_also",
                    f"it is tested on the {study.count_partitions(name)} test parts of {', '.join(others)}, "
                    f"one a trial; set tasks.{name}.trials: paired",
                    Change(f"tasks.{name}.trials", "paired"),
                )
            )
    return list(dict.fromkeys(problems))


def _compare_numbers(study: Study, name: str) -> Iterator[Problem]:
    """Yield a sentence for each fine-tuning that cannot pair its seeds with partitions and draws."""
    task, partitions = study.tasks[name], study.count_partitions(name)
    used = {(setting.model.finetuning, setting.subset == "full") for setting in study.list_settings(name)}
    for finetuning, full in sorted(used):
        seeds = len(study.finetunings[finetuning].seeds)
        trials = {f"{partitions} partitions": partitions, f"{task.resamplings} draws": 1 if full else task.resamplings}
        numbers = {number for number in trials.values() if number > 1}
        # Seeds decide nothing in a deterministic method: the first ones only name its trials.
        spare = study.finetunings[finetuning].deterministic and seeds >= max(numbers, default=1)
        if len(numbers if spare or seeds == 1 else numbers | {seeds}) > 1:
            trials[f"{seeds} seeds (finetunings.{finetuning}.seeds)"] = seeds
            several = ", ".join(text for text, number in trials.items() if number > 1)
            yield Problem(
                f"tasks.{name}.trials",
                f"paired takes partitions, draws and seeds one by one, and there are {several}; make these "
                "numbers equal, or set trials: crossed",
                Change(f"tasks.{name}.trials", "crossed"),
            )
