"""Runs behind a mean: partitions, draws and seeds, and how they are combined."""

from __future__ import annotations

import polars as pl

from emoadapt.config import Study
from emoadapt.reporting.style import listing, subset_name
from emoadapt.study.grid import list_trials
from emoadapt.study.nodes import Model, Setting

PAIRED = "paired"


def count_divisions(study: Study, task: str, corpus: str) -> int:
    """Count the test sets of a corpus that the runs of a task have: one for each of its partitions."""
    config = study.tasks[task]
    own = corpus == config.corpus or (config.target is not None and corpus == config.target.corpus)
    whose = task if own else study.find_tested_tasks(task).get(corpus)
    return 1 if whose is None else study.tasks[whose].partitions


def describe_runs(study: Study, setting: Setting, corpus: str | None = None) -> str:
    """Describe what the runs of a setting are, such as `5 trials, partition i with seed i`.

    Args:
        study: the configuration.
        setting: its runs; partitions that divide no test set are not counted.
        corpus: tested on; None = the task's own.
    """
    task, trials = study.tasks[setting.task], list_trials(study, setting)
    divisions = max(count_divisions(study, setting.task, corpus or task.corpus), task.partitions)
    named = {
        "partition": divisions,
        "draw": len({run.resampling for run in trials}),
        "seed": 1 if study.finetunings[setting.model.finetuning].deterministic else len({run.seed for run in trials}),
    }
    varied = {name: number for name, number in named.items() if number > 1}
    if not varied:
        return "1 run" if len(trials) == 1 else f"{len(trials)} runs that are all the same"
    if task.trials == PAIRED and len(varied) > 1:
        first, *others = [f"{name} i" for name in varied]
        text = f"{len(trials)} trials, {first} with {listing(others)}"
    else:
        text = " × ".join(f"{number} {name}s" for name, number in varied.items())
    return text if divisions > 1 else f"{text}, on one partition"


def describe_tested(study: Study, tidy: pl.DataFrame) -> list[tuple[str, str, dict[str, list[tuple[str, str]]]]]:
    """Describe the runs behind each test set of a table.

    Args:
        study: the configuration.
        tidy: rows with columns `task`, `test_corpus`, `subset` and those of a model.

    Returns:
        Task, corpus, and description of runs -> the (fine-tuning, subset) pairs that it describes.
    """
    columns = ["task", "test_corpus", "subset", *Model._fields]
    found: dict[tuple[str, str], dict[str, list[tuple[str, str]]]] = {}
    for task, corpus, subset, *model in tidy.select(columns).drop_nulls().unique(maintain_order=True).rows():
        if task not in study.tasks or model[2] not in study.finetunings:
            continue
        text = describe_runs(study, Setting(task, Model(*model), subset), corpus)
        pairs = found.setdefault((task, corpus), {}).setdefault(text, [])
        if (model[2], subset) not in pairs:
            pairs.append((model[2], subset))
    return [(task, corpus, products) for (task, corpus), products in found.items()]


def name_products(products: dict[str, list[tuple[str, str]]]) -> str:
    """Join descriptions of runs; where there are several, with their fine-tunings or subsets: `5 seeds (mlp) or 1 run (svm)`."""
    if len(products) == 1:
        return next(iter(products))
    finetunings, subsets = (
        set(names) for names in zip(*(p for pairs in products.values() for p in pairs), strict=True)
    )

    def name(finetuning: str, subset: str) -> str:
        if len(subsets) == 1:
            return finetuning
        return subset_name(subset) if len(finetunings) == 1 else f"{finetuning} with {subset_name(subset)}"

    return " or ".join(f"{text} ({listing(name(*pair) for pair in pairs)})" for text, pairs in products.items())
