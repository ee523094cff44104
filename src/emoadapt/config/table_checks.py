"""Whether the tables of a study fit it: their models, tasks, subsets and metrics, and what would share a cell."""

from __future__ import annotations

from emoadapt.config.study import Study
from emoadapt.config.tables import TAKEN, BestOf, TableConfig, part_models, split_model
from emoadapt.config.tasks import Task


def check_tables(study: Study) -> list[str]:
    """What is wrong with the tables of a study, a sentence each: names and settings that the study does not have.

    What needs a missing corpus (`Study.left_out`) is not wrong.
    """
    problems = []
    for name, table in study.tables.items():
        path = f"tables.{name}"
        if name in TAKEN or name.startswith("paper_"):
            problems.append(f"{path}: this name is taken by a table or figure that every report has; choose another")
        if table.paper and study.report.paper is None:
            problems.append(f"{path}.paper: the study names no paper; set report.paper")
        problems += _check_tests(study, path, table)
        for number, part in enumerate(table.parts):
            for model in part_models(part):
                problems += _check_model(study, f"{path}.parts.{number}", table, model)
        problems += _check_dimensions(path, table)
    return problems


def _check_tests(study: Study, path: str, table: TableConfig) -> list[str]:
    """Tasks, their sizes, and the corpora that they are tested on."""
    problems = []
    for task in table.tasks:
        if f"tasks.{task}" in study.left_out:
            continue
        if task not in study.tasks:
            problems.append(f"{path}.tasks: {task} is not defined; there is {', '.join(study.tasks) or 'none'}")
            continue
        config = study.tasks[task]
        problems += [
            f"{path}.subsets: task {task} has no subset {subset}; it has {', '.join(map(str, config.subsets))}"
            for subset in table.subsets
            if subset not in config.subsets
        ]
        if not _is_measured(config, table.metric):
            kind = "attributes" if config.attributes else "classes"
            problems.append(
                f"{path}.metric: task {task} has {kind}, and no {table.metric}; choose a metric of such tasks"
            )
        tested = (config.corpus, *config.test_also)
        problems += [
            f"{path}.test_on: task {task} is not tested on {corpus}, only on {', '.join(tested)}; add it to tasks.{task}.test_also"
            for corpus in table.test_on or ()
            if corpus not in tested and f"tasks.{task}.test_also.{corpus}" not in study.left_out
        ]
    return problems


def _is_measured(task: Task, metric: str) -> bool:
    """Whether a metric is of tasks like this one."""
    if metric == "cosine_distance":
        return True
    if not metric.startswith("ccc_"):
        return bool(task.classes)
    return (metric == "ccc_mean" and bool(task.attributes)) or metric.removeprefix("ccc_") in task.attributes


def _check_model(study: Study, path: str, table: TableConfig, model: str) -> list[str]:
    """Whether a model is there, and fine-tuned wherever the table looks for it."""
    backbone, start = split_model(model)
    if backbone == "handcrafted":
        asked = study.finetuning.egemaps_baseline if start == "egemaps" else study.finetuning.classical is not None
        if asked and table.metric != "cosine_distance":
            return []
        key = "egemaps_baseline" if start == "egemaps" else "classical"
        reason = "it has no embeddings" if asked else f"finetuning.{key} is off"
        return [f"{path}: {start} has no values here, since {reason}; leave it out"]
    if f"adaptations.{start}" in study.left_out:
        return []
    if backbone not in study.backbones:
        return [
            f"{path}: backbone {backbone} of {model} is not defined; there is {', '.join(study.backbones) or 'none'}"
        ]
    if start not in study.starts(backbone):
        known = ", ".join(study.starts(backbone))
        return [f"{path}: {model} is not computed; the starts of backbone {backbone} are {known}"]
    return [
        f"{path}: {model} is not fine-tuned on task {task}, subset {subset}; see backbones.{backbone}.subsets"
        + ("" if start == "original" else f", adaptations.{start}.tasks and .subsets")
        for task in table.tasks
        if task in study.tasks
        for subset in table.subsets
        if subset in study.tasks[task].subsets and start not in study.starts(backbone, task, subset)
    ]


def _check_dimensions(path: str, table: TableConfig) -> list[str]:
    """A cell is one setting: what varies must be among rows and columns."""
    used = {*table.rows, *table.columns}
    names = [name for part in table.parts for model in part.models for name in _names_of(model)]
    varying = {
        "task": len(table.tasks) > 1,
        "corpus": table.test_on is not None and len(table.test_on) > 1,
        "subset": len(table.subsets) > 1,
        "backbone": len({split_model(name)[0] for name in names}) > 1 and "model" not in used,
        "start": len({split_model(name)[1] for name in names}) > 1 and "model" not in used,
    }
    return [
        f"{path}: several {dimension}s would share a cell; name `{dimension}` among rows or columns"
        for dimension, several in varying.items()
        if several and dimension not in used
    ]


def _names_of(model: str | BestOf) -> tuple[str, ...]:
    return () if isinstance(model, BestOf) else (model,)
