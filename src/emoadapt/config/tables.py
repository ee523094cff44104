"""Configuration of the tables and figures of a paper: which of the study's settings stand in which cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Name, Section, repeated_values

if TYPE_CHECKING:
    from emoadapt.config.study import Study
    from emoadapt.config.tasks import Task

Dimension = Literal["task", "corpus", "subset", "backbone", "start", "model"]
Metric = Literal[
    "macro_f1",
    "uar",
    "weighted_f1",
    "accuracy",
    "f1_bias",
    "cosine_distance",
    "ccc_mean",
    "ccc_arousal",
    "ccc_valence",
    "ccc_dominance",
]
ModelName = Annotated[str, Field(pattern=r"^(egemaps|classical|[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*)$")]
"""`<backbone>.<start>`, or `egemaps` or `classical` for a baseline without a backbone."""

TAKEN = (
    "results",
    "low_resource",
    "per_class_f1",
    "f1_bias",
    "cosine_distance",
    "cross_corpus",
    "fairness",
    "calibration",
    "reliability",
    "selective",
    "leaks",
    "data",
    "stage1_data",
    "word_errors",
    "quarantine",
    "quarantine_rows",
    "confusion",
    "training_curves",
    "finetuning_curves",
)
"""Tables and figures that every report has."""


class BestOf(Section):
    """Whichever of several models has the best mean over its runs on the cell's test set."""

    best_of: tuple[ModelName, ...] = Field(min_length=2)
    label: str | None = None
    """How it is called; null = `best of ...`."""


class EachOf(Section):
    """Several baselines: a star only where the difference from each of them counts, the largest p-value."""

    each_of: tuple[ModelName, ...] = Field(min_length=2)


Baseline = Literal["original"] | ModelName | BestOf | EachOf


class TablePart(Section):
    """Models that are compared with the same baseline."""

    title: str | None = None
    """A line above them."""
    models: tuple[ModelName | BestOf, ...]
    """`<backbone>.<start>`, `egemaps` or `classical` (baselines without a backbone), or `{best_of: [...]}`."""
    baseline: Baseline | None = None
    """What they are tested against: `original` (of the same backbone), a model, `{best_of: [...]}`, or `{each_of: [...]}`.
    Stage 2 pairs them by seed and draw. null = no test."""


class TableConfig(Section):
    """A table and its picture: `results/tables/<name>.{csv,md,tex}`, `results/figures/<name>.{svg,png}`.

    It selects from what the study computes anyway, and never asks for a run.
    """

    title: str
    paper: tuple[str, ...] | None = None
    """Tables of `report.paper` whose values stand beside ours, the first that has one; of G25 there are I to VI."""
    metric: Metric = "macro_f1"
    """`ccc_...` are of tasks with attributes, the others of tasks with classes; `cosine_distance` (from the starting point of the
    fine-tuning) of both."""
    tasks: tuple[Name, ...]
    """Tasks that the models were fine-tuned on."""
    test_on: tuple[Name, ...] | None = None
    """Corpora that they are tested on; null = each task's own."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] = ("full",)
    """Numbers of training clips."""
    parts: tuple[TablePart, ...]
    """Models with what they are compared with; more than one part where baselines differ."""
    rows: tuple[Dimension, ...] = ("task",)
    """What a row stands for: `task`, `corpus` (tested on), `subset`, `backbone`, `start`, or `model` (backbone and start)."""
    columns: tuple[Dimension, ...] = ("model",)
    """What a column stands for; several dimensions are headings above one another."""
    picture: Literal["points", "lines", "bars"] = "points"
    """`points`: a panel per task, corpus and number of clips, a line per model with its interval. `lines`: over the number of training
    clips, a panel per backbone (with one number of clips: over the models, a line per task). `bars`: a group per task."""
    names: dict[str, str] = {}
    """As `report.names`, for this table alone."""
    notes: tuple[str, ...] | None = None
    """Sentences for the footnote."""

    @model_validator(mode="after")
    def _dimensions(self) -> TableConfig:
        if repeated := repeated_values([*self.rows, *self.columns]):
            raise ValueError(f"rows and columns repeat {', '.join(repeated)}")
        used = {*self.rows, *self.columns}
        if "model" in used and used & {"backbone", "start"}:
            raise ValueError("rows and columns name `model` and a part of it; name `model`, or `backbone` and `start`")
        best = any(isinstance(model, BestOf) for part in self.parts for model in part.models)
        if best and "model" not in used:
            raise ValueError(
                "a best_of entry is neither one backbone nor one start; name `model` among rows or columns"
            )
        if self.test_on and repeated_values(self.test_on):
            raise ValueError(f"test_on repeats {', '.join(repeated_values(self.test_on))}")
        return self

    @property
    def lower_is_better(self) -> bool:
        """Whether a small value of the metric is the good one."""
        return self.metric in ("f1_bias", "cosine_distance")


def split_model(name: str) -> tuple[str, str]:
    """Backbone and start of a model's name in a table."""
    backbone, _, start = name.partition(".")
    return (backbone, start) if start else ("handcrafted", name)


def part_models(part: TablePart) -> list[str]:
    """All models that a part names, those of its baseline included."""
    entries = [*part.models, *([] if part.baseline in (None, "original") else [part.baseline])]
    names: list[str] = []
    for entry in entries:
        if isinstance(entry, BestOf):
            names += entry.best_of
        elif isinstance(entry, EachOf):
            names += entry.each_of
        elif entry is not None:
            names.append(entry)
    return list(dict.fromkeys(names))


def check_tables(study: Study) -> list[str]:
    """What is wrong with the tables of a study, a sentence each: names and settings that the study does not have.

    What needs a corpus that is not there (`Study.left_out`) is not wrong.
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
