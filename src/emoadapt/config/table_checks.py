"""Check of a study's tables: models, tasks, subsets, metrics and repeated cells."""

from __future__ import annotations

from collections.abc import Set
from itertools import combinations

from emoadapt.config.papers import find_paper
from emoadapt.config.study import Study
from emoadapt.config.tables import TAKEN, BestOf, TableConfig, part_models
from emoadapt.config.tasks import Task
from emoadapt.errors import Change, ConfigError, Problem, name_known
from emoadapt.fixes import find_unknown, rename, take_out
from emoadapt.metrics.base import find_metric, list_scores
from emoadapt.study.nodes import Model


def check_tables(study: Study) -> list[Problem]:
    """List problems of a study's tables: names and settings that it does not have.

    What needs a missing corpus (`Study.left_out`) is not wrong.
    """
    problems = _check_report(study)
    for name, table in study.tables.items():
        path = f"tables.{name}"
        if name in TAKEN or name.startswith("paper_"):
            problems.append(
                Problem(path, "this name is taken by a table or figure that every report has; choose another")
            )
        if table.paper and study.report.paper is None:
            problems.append(
                Problem(f"{path}.paper", "the study names no paper; set report.paper", Change("report.paper", "NAME"))
            )
        problems += _check_tests(study, path, table)
        for number, part in enumerate(table.parts):
            for model in part_models(part):
                problems += _check_model(study, f"{path}.parts.{number}", table, model)
        problems += _check_dimensions(study, path, table)
    return problems


def find_absence(study: Study, model: Model) -> str | None:
    """Why a model is not computed, such as `needs corpus msp_podcast`; None where its parts are there."""
    parts = (f"adaptations.{model.start}", f"finetunings.{model.finetuning}")
    return next((study.left_out[part] for part in parts if part in study.left_out), None)


def _check_report(study: Study) -> list[Problem]:
    """The paper whose values are shown, and the model that all others are compared with.

    Where a corpus is missing, the model may be one of a task that was left out.
    """
    problems = []
    if study.report.paper is not None:
        try:
            find_paper(study.report.paper)
        except ConfigError as error:
            problems.append(Problem("report.paper", str(error)))
    if (name := study.report.baseline) is not None:
        try:
            wanted = Model.parse(name)
        except ValueError as error:
            return [*problems, Problem("report.baseline", str(error))]
        models = study.list_models()
        if wanted not in models and not study.left_out:
            problems.append(
                Problem(
                    "report.baseline",
                    f"{name} is not a model of this study; {name_known(name, map(str, models))}",
                    rename("report.baseline", name, name, [*map(str, models)]),
                )
            )
    return problems


def _check_tests(study: Study, path: str, table: TableConfig) -> list[Problem]:
    """Tasks, their sizes, and the corpora that they are tested on."""
    left_out = [task for task in table.tasks if f"tasks.{task}" in study.left_out]
    problems = find_unknown(f"{path}.tasks", table.tasks, [*study.tasks, *left_out])
    for task in table.tasks:
        if task in left_out or task not in study.tasks:
            continue
        config = study.tasks[task]
        problems += [
            Problem(
                f"{path}.subsets",
                f"task {task} has no subset {subset}; it has {', '.join(map(str, config.subsets))}",
                take_out(f"{path}.subsets", table.subsets, subset),
            )
            for subset in table.subsets
            if subset not in config.subsets
        ]
        if not _is_measured(config, table.metric):
            known = list_scores(config.kind, config.outputs)
            found = f"task {task} has {config.kind}, and no {table.metric}; there is {', '.join(known)}"
            problems.append(
                Problem(f"{path}.metric", found, rename(f"{path}.metric", table.metric, table.metric, known))
            )
        problems += [
            _refuse_test(path, table.test_on or (), task, config, corpus)
            for corpus in table.test_on or ()
            if corpus not in config.tested and f"tasks.{task}.test_also.{corpus}" not in study.left_out
        ]
    return problems


def _refuse_test(path: str, test_on: tuple[str, ...], task: str, config: Task, corpus: str) -> Problem:
    """A table names a corpus that a task is not tested on."""
    path, tested = f"{path}.test_on", ", ".join(config.tested)
    removal = take_out(path, test_on, corpus)
    if corpus == config.corpus:
        found = f"all clips of {corpus} are for training in task {task} (split: {{by: all}}), which is tested on {tested}; name these"
        return Problem(path, found, removal)
    found = f"task {task} is not tested on {corpus}, only on {tested}; add it to tasks.{task}.test_also"
    return Problem(path, found, _test_also(task, config, corpus), removal)


def _test_also(name: str, task: Task, corpus: str) -> Change:
    """Propose a corpus that a task is also tested on."""
    others = task.test_also
    return Change(
        f"tasks.{name}.test_also", {**others, corpus: "all"} if isinstance(others, dict) else [*others, corpus]
    )


def _is_measured(task: Task, metric: str) -> bool:
    """Whether a metric is of tasks like this one."""
    return metric in list_scores(task.kind, task.outputs)


def _check_model(study: Study, path: str, table: TableConfig, model: str) -> list[Problem]:
    """Check that a model exists and is trained on the table's tasks and subsets."""
    wanted = Model.parse(model)
    if find_absence(study, wanted):
        return []
    if wanted.backbone not in study.backbones:
        known = name_known(wanted.backbone, study.backbones)
        return [Problem(path, f"backbone {wanted.backbone} of {model} is not defined; {known}")]
    if wanted.finetuning not in study.finetunings:
        known = name_known(wanted.finetuning, study.finetunings)
        return [Problem(path, f"fine-tuning {wanted.finetuning} of {model} is not defined; {known}")]
    if wanted.start not in (starts := study.list_starts(study.finetunings[wanted.finetuning], wanted.backbone)):
        known = ", ".join(starts)
        return [Problem(path, f"{model} is not computed; the starts of backbone {wanted.backbone} are {known}")]
    if find_metric(table.metric).question == "embeddings" and not study.keeps_embeddings(wanted):
        return [Problem(path, f"{model} has no values here, since its embeddings are not trained; leave it out")]
    trained = {(setting.task, setting.subset) for setting in study.list_settings() if setting.model == wanted}
    return [
        Problem(
            path,
            f"{model} is not trained on task {task}, subset {subset}; see the keys subsets of backbones.{wanted.backbone} and "
            f"finetunings.{wanted.finetuning}"
            + ("" if wanted.start == "original" else f", adaptations.{wanted.start}.tasks and .subsets"),
        )
        for task in table.tasks
        if task in study.tasks
        for subset in table.subsets
        if subset in study.tasks[task].subsets and (task, str(subset)) not in trained
    ]


def _check_dimensions(study: Study, path: str, table: TableConfig) -> list[Problem]:
    """Check that each cell holds one setting, by the dimensions of rows and columns."""
    used = {*table.rows, *table.columns}
    models = {Model.parse(name) for part in table.parts for model in part.models for name in _names_of(model)}
    pairs = [] if "model" in used else [pair for pair in combinations(models, 2) if _agree(*pair, used)]
    varying = {
        "task": len(table.tasks) > 1,
        "corpus": any(
            len(table.test_on or study.tasks[task].first_tested) > 1 for task in table.tasks if task in study.tasks
        ),
        "subset": len(table.subsets) > 1,
        **{part: any(getattr(a, part) != getattr(b, part) for a, b in pairs) for part in Model._fields},
    }
    return [
        Problem(path, f"a cell would hold more than one {dimension}; name `{dimension}` among rows or columns")
        for dimension, several in varying.items()
        if several and dimension not in used
    ]


def _agree(one: Model, other: Model, parts: Set[str]) -> bool:
    """Whether two models have the same value in all these dimensions."""
    return all(getattr(one, part) == getattr(other, part) for part in Model._fields if part in parts)


def _names_of(model: str | BestOf) -> tuple[str, ...]:
    return () if isinstance(model, BestOf) else (model,)
