"""Cells of a study's tables, and the comparisons in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emoadapt.config import BestOf, EachOf, Study, TableConfig, TablePart
from emoadapt.config.table_checks import find_absence
from emoadapt.study.nodes import Model


@dataclass(frozen=True)
class Against:
    """What a cell is tested against.

    Attributes:
        models: the baseline, or several.
        rule: `one`; `best`: whichever of them is best in the cell's setting; `each`: all of them.
    """

    models: tuple[Model, ...]
    rule: Literal["one", "best", "each"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        part: number of the table's part.
        task, corpus, subset: task and number of clips of the training, and the corpus tested on.
        models: the model, or the candidates of which the best stands here.
        label: name of a best_of entry; None for a single model.
        against: what it is tested against; None where it is compared with nothing.
        missing: why there is no value, such as `needs corpus msp_podcast`; None where there is one.
    """

    part: int
    task: str
    corpus: str
    subset: str
    models: tuple[Model, ...]
    label: str | None
    against: Against | None
    missing: str | None


def list_cells(study: Study, table: TableConfig) -> list[Cell]:
    """All cells of a table, in the order of its configuration; a table of `study.tables` was checked when it was read."""
    return [
        _make_cell(study, part, number, entry, task, corpus, str(subset))
        for number, part in enumerate(table.parts)
        for task in table.tasks
        for corpus in table.test_on or _first_tested(study, task)
        for subset in table.subsets
        for entry in part.models
    ]


def list_comparisons(study: Study, task: str) -> list[tuple[Model, Model]]:
    """List the tests, (model, baseline), that the study's tables need on a task.

    Those that are always made are left out: against the model's original, and against `report.baseline`.
    """
    pairs = [
        (model, baseline)
        for table in study.tables.values()
        if task in table.tasks
        for cell in list_cells(study, table)
        if cell.task == task and cell.against and not cell.missing
        for model in cell.models
        for baseline in cell.against.models
    ]
    return sorted({(m, b) for m, b in pairs if b not in (m, m.find_original()) and str(b) != study.report.baseline})


def _first_tested(study: Study, task: str) -> tuple[str, ...]:
    """Corpora that a task is first tested on; the task's own name if it is left out."""
    return study.tasks[task].first_tested if task in study.tasks else (task,)


def _make_cell(
    study: Study, part: TablePart, number: int, entry: str | BestOf, task: str, corpus: str, subset: str
) -> Cell:
    wanted = tuple(map(Model.parse, entry.best_of)) if isinstance(entry, BestOf) else (Model.parse(entry),)
    models = tuple(model for model in wanted if not find_absence(study, model))
    reasons = [
        study.left_out.get(f"tasks.{task}"),
        study.left_out.get(f"tasks.{task}.test_also.{corpus}"),
        None if models else find_absence(study, wanted[0]),
    ]
    label = None
    if isinstance(entry, BestOf):
        label = entry.label or f"best of {', '.join(entry.best_of)}"
    missing = ", ".join(dict.fromkeys(reason for reason in reasons if reason)) or None
    return Cell(number, task, corpus, subset, models or wanted, label, _find_baseline(study, part, wanted), missing)


def _find_baseline(study: Study, part: TablePart, models: tuple[Model, ...]) -> Against | None:
    """Baseline of a part's models; none for the baseline itself, or if it is left out."""
    rule: Literal["one", "best", "each"] = "one"
    match part.baseline:
        case None:
            return None
        case "original":
            original = models[0].find_original()
            return None if len(models) > 1 or models[0] == original else Against((original,), "one")
        case BestOf(best_of=names):
            rule = "best"
        case EachOf(each_of=names):
            rule = "each"
        case name:
            names = (name,)
    baselines = tuple(map(Model.parse, names))
    if any(model in baselines for model in models):
        return None
    found = tuple(model for model in baselines if not find_absence(study, model))
    return Against(found, rule) if found and (rule != "each" or len(found) == len(baselines)) else None
