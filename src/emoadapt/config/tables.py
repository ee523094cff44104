"""Configuration of a paper's tables and figures: the settings in each cell."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from emoadapt.config.base import ModelName, Name, Section, repeated_values
from emoadapt.errors import ConfigError, Problems
from emoadapt.metrics.base import find_metric

Dimension = Literal["task", "corpus", "subset", "backbone", "start", "finetuning", "model"]


def _check_score(score: str) -> str:
    """A score that has one value for a run.

    Raises:
        ValueError: no metric has it.
    """
    try:
        metric = find_metric(score)
    except ConfigError as error:
        raise Problems(error.problems) from None
    if metric.per_class:
        raise ValueError(f"{score} has a value for each class, and a cell of a table holds one; choose another metric")
    return score


Score = Annotated[str, AfterValidator(_check_score)]
"""Name of a metric's score: that of the metric, or of attributes `<metric>_mean` or `<metric>_<attribute>`."""

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
    "choices",
    "leaks",
    "data",
    "stage1_data",
    "objectives",
    "pretext",
    "teaching",
    "word_errors",
    "extracted",
    "quarantine",
    "quarantine_rows",
    "confusion",
    "training_curves",
    "finetuning_curves",
)
"""Tables and figures that every report has."""


class BestOf(Section):
    """The model with the best mean over its runs on the cell's test set."""

    best_of: tuple[ModelName, ...] = Field(min_length=2)
    label: str | None = None
    """Printed name. null: `best of ...`."""


class EachOf(Section):
    """Several baselines. The largest p-value counts: a star needs a significant difference from each of them."""

    each_of: tuple[ModelName, ...] = Field(min_length=2)


Baseline = Literal["original"] | ModelName | BestOf | EachOf


class TablePart(Section):
    """Models that are compared with the same baseline."""

    title: str | None = None
    """Heading above the models."""
    models: tuple[ModelName | BestOf, ...]
    """`<backbone>.<start>`, `<backbone>.<start>.<finetuning>`, or `{best_of: [...]}`."""
    baseline: Baseline | None = None
    """Baseline of the tests: `original` (of the same backbone and fine-tuning), a model, `{best_of: [...]}` or `{each_of: [...]}`.
    Runs are paired by partition, seed and draw. null: no test."""


class TableConfig(Section):
    """A table and its picture: `results/tables/<name>.{csv,md,tex}`, `results/figures/<name>.{svg,png}`.

    It selects from what the study computes anyway, and never asks for a run.
    """

    title: str
    paper: tuple[str, ...] | None = None
    """Tables of `report.paper` in which to look up values, in this order; G25 has I to VI. See docs/add-a-paper.md."""
    metric: Score = "macro_f1"
    """Metric, built in (docs/evaluation.md) or your own. For attributes: `<metric>_mean` or `<metric>_<attribute>`, such as
    `ccc_valence`."""
    tasks: tuple[Name, ...]
    """Tasks that the models were fine-tuned on."""
    test_on: tuple[Name, ...] | None = None
    """Test corpora. null: each task's own, or its others where all clips of its own are for training (`split: {by: all}`)."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] = ("full",)
    """Numbers of training clips."""
    parts: tuple[TablePart, ...]
    """Models and their baseline; one part per baseline."""
    rows: tuple[Dimension, ...] = ("task",)
    """Dimensions of the rows: `task`, `corpus` (tested on), `subset`, `backbone`, `start`, `finetuning`, or `model` (all three)."""
    columns: tuple[Dimension, ...] = ("model",)
    """Dimensions of the columns; each dimension is a line of headings."""
    picture: Literal["points", "lines", "bars", "sizes"] = "points"
    """Kind of picture. `points`: one panel per task, corpus and number of clips; one line per model with its interval. `lines`: scores
    over the number of training clips, one panel per backbone; with one number, over models, one line per task. `bars`: one group per
    task. `sizes`: means over all tasks, over the sizes of the models."""
    sizes: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Millions of parameters for `picture: sizes`: of each model (of a `best_of` entry by its label), and of systems that the paper alone
    has, by the heading of their column in the paper."""
    names: dict[str, str] = {}
    """As `report.names`, for this table alone."""
    notes: tuple[str, ...] | None = None
    """Sentences for the footnote."""

    @model_validator(mode="after")
    def _dimensions(self) -> TableConfig:
        if repeated := repeated_values([*self.rows, *self.columns]):
            raise ValueError(f"rows and columns repeat {', '.join(repeated)}; name each dimension once")
        used = {*self.rows, *self.columns}
        if "model" in used and used & {"backbone", "start", "finetuning"}:
            raise ValueError("rows and columns name `model` and a part of it; name `model`, or its parts")
        best = any(isinstance(model, BestOf) for part in self.parts for model in part.models)
        if best and "model" not in used:
            raise ValueError("a best_of entry has no single backbone or start; name `model` among rows or columns")
        if (self.picture == "sizes") != bool(self.sizes):
            raise ValueError("`sizes` are for `picture: sizes`, which needs them; give both or neither")
        named = [
            entry.label or "" if isinstance(entry, BestOf) else entry for part in self.parts for entry in part.models
        ]
        if self.sizes and (lacking := [name for name in named if name not in self.sizes]):
            raise ValueError(f"sizes lacks {', '.join(lacking)}; give the millions of parameters of each model")
        if self.test_on and repeated_values(self.test_on):
            raise ValueError(f"test_on repeats {', '.join(repeated_values(self.test_on))}; name each corpus once")
        return self

    @property
    def lower_is_better(self) -> bool:
        """Whether a small value of the metric is the good one."""
        return find_metric(self.metric).lower_is_better


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
