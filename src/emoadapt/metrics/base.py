"""Interface of a metric, and the names of its scores.

A metric is a module here, or in the folder `metrics` of a study's own plug-ins, with the literals

* `QUESTION`: what it scores: "classes", "attributes" or "embeddings";
* `LABEL`: its name for people;
* `LOWER_IS_BETTER`: True if a smaller value is better;
* `RANGE`: its smallest and largest possible value; None for an open end;

the optional literals

* `PER_CLASS = True`: it has a value for each class, and neither interval nor test;
* `CENTRED = True`: resampling inflates it, so that its bootstrap draws are centred on the observed value;
* `ORDER`: its place in tables, small ones first; a task is judged by the first of its question;
* `DIGITS`: decimals in tables, 3 by default;
* `CHANCE`: of attributes, its value where a model always answers the same. Of classes it is computed (`evaluation.chance`);

and a function `score`. Its arguments depend on the question:

* classes: `score(confusion)`, (..., n_classes, n_classes) counts, rows are true classes -> (...,), or (..., n_classes) per class;
* attributes: `score(predicted, true, weights)`, (n,), (n,) and (n, n_draws), how often each clip counts -> (n_draws,). It is
  called for each attribute; the scores are named `<metric>_<attribute>` and, for their mean, `<metric>_mean`;
* embeddings: `score(tuned, start_point)`, twice (n, width) -> (n,), of which the mean is taken.

A value that is not defined is NaN. No numpy here: the configuration is checked with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from emoadapt.errors import ConfigError, name_known
from emoadapt.fixes import rename
from emoadapt.plugins import list_plugins, load_plugin, read_declaration

Question = Literal["classes", "attributes", "embeddings"]
NEEDED = ("QUESTION", "LABEL", "LOWER_IS_BETTER", "RANGE")
MEAN = "mean"


@dataclass(frozen=True)
class Metric:
    """Declarations of a metric's module.

    Attributes:
        name: of the module.
        question: what it scores.
        label: its name for people.
        lower_is_better: whether a small value is the good one.
        range: smallest and largest possible value; None = open.
        per_class: whether it gives a value for each class.
        centred: whether bootstrap draws are centred on the observed value.
        order: place in tables.
        digits: decimals in tables.
        chance: of attributes, its value for a constant answer; None = not known.
    """

    name: str
    question: Question
    label: str
    lower_is_better: bool
    range: tuple[float | None, float | None]
    per_class: bool = False
    centred: bool = False
    order: int = 1000
    digits: int = 3
    chance: float | None = None

    def load(self) -> Callable[..., Any]:
        """Its function."""
        return load_plugin("metrics", self.name).score  # type: ignore[no-any-return]

    def name_scores(self, outputs: Sequence[str]) -> list[str]:
        """Names of its scores of a run, for a task with these classes or attributes."""
        if self.question != "attributes":
            return [self.name]
        return [f"{self.name}_{part}" for part in (MEAN, *outputs)]

    def clip(self, value: float) -> float:
        """The nearest value in the range."""
        low, high = self.range
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)


def read_metric(name: str) -> Metric:
    """Read the declarations of a metric without importing it.

    Raises:
        ConfigError: a declaration is missing or has another value than allowed.
    """
    found = {constant: read_declaration("metrics", name, constant) for constant in NEEDED}
    if lacking := [constant for constant, value in found.items() if value is None]:
        raise ConfigError(f"metric {name} does not declare {', '.join(lacking)}; see docs/add-a-metric.md")
    if found["QUESTION"] not in get_args(Question):
        known = ", ".join(get_args(Question))
        raise ConfigError(f"metric {name}: QUESTION is {found['QUESTION']!r}; write one of {known}")
    optional = {
        key: value
        for key in ("per_class", "centred", "order", "digits", "chance")
        if (value := read_declaration("metrics", name, key.upper())) is not None
    }
    return Metric(name, *found.values(), **optional)


def list_metrics(*questions: str) -> list[Metric]:
    """List the metrics of some questions, by default all, in the order of tables."""
    found = [read_metric(name) for name in list_plugins("metrics")]
    chosen = [metric for metric in found if not questions or metric.question in questions]
    return sorted(chosen, key=lambda metric: (metric.order, metric.name))


def list_scores(question: str, outputs: Sequence[str]) -> list[str]:
    """Names of all scores of a run that have an interval, those of its embeddings last.

    Args:
        question: of the task, "classes" or "attributes".
        outputs: its classes or attributes.
    """
    metrics = [*list_metrics(question), *list_metrics("embeddings")]
    return [score for metric in metrics if not metric.per_class for score in metric.name_scores(outputs)]


def find_metric(score: str) -> Metric:
    """Find the metric of a score: `uar` for `uar`, `ccc` for `ccc_arousal`.

    Raises:
        ConfigError: there is none.
    """
    metrics = {metric.name: metric for metric in list_metrics()}
    if score in metrics and metrics[score].question != "attributes":
        return metrics[score]
    longest = sorted(metrics.values(), key=lambda metric: -len(metric.name))
    for metric in longest:
        if metric.question == "attributes" and score.startswith(f"{metric.name}_"):
            return metric
    known = [name for metric in list_metrics() if not metric.per_class for name in metric.name_scores(())]
    raise ConfigError(f"metric {score} is not known; {name_known(score, known)}", rename("", score, score, known))


def label_score(score: str) -> str:
    """Printed name of a score: `UAR`, `CCC arousal`, `mean CCC`.

    Raises:
        ConfigError: no metric has such a score.
    """
    metric = find_metric(score)
    part = score.removeprefix(metric.name).removeprefix("_")
    if not part:
        return metric.label
    return f"{part} {metric.label}" if part == MEAN else f"{metric.label} {part}"


def name_modules(question: str) -> list[str]:
    """Modules that compute the scores of a task, for the digest of an evaluation."""
    return [f"metrics.{metric.name}" for metric in list_metrics(question, "embeddings")]
