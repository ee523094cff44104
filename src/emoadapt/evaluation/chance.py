"""Scores without learning: of a uniform guess, and of always naming the most frequent class."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from emoadapt.evaluation.confusion import Array
from emoadapt.metrics.base import find_metric, list_metrics
from emoadapt.study.nodes import Model

SETTING = ["task", *Model._fields, "subset", "test_corpus"]
"""Columns of a model, with what it was trained and tested on."""
RUN = [*SETTING, "partition", "resampling", "seed"]
"""Columns of a run. `questions`, which names them too, would make SciPy a library of the report."""
COLUMNS = {**dict.fromkeys((*SETTING, "metric", "label"), pl.String), "chance": pl.Float64}


def guess_uniformly(true: Array) -> Array:
    """Expected confusion counts of a uniform guess, (n_classes, n_classes).

    Args:
        true: (n_classes,) test clips of each class.
    """
    return np.repeat(true[:, None] / len(true), len(true), axis=1)


def name_majority(true: Array) -> Array:
    """Confusion counts of a model that always names the most frequent class, (n_classes, n_classes)."""
    counts = np.zeros((len(true), len(true)))
    counts[:, int(np.argmax(true))] = true
    return counts


def rate_chance(score: str, true: tuple[int, ...]) -> float | None:
    """Chance level of a metric of all classes.

    It is the better value of two: of a uniform guess, and of always predicting the most frequent class. The metric's own function computes both.

    Args:
        score: name of a metric that has one value for all classes.
        true: test clips of each class.

    Returns:
        None where it is not defined, as on a test set without clips.
    """
    metric = find_metric(score)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [float(metric.load()(make(np.asarray(true, float)))) for make in (guess_uniformly, name_majority)]
    defined = [value for value in found if not np.isnan(value)]
    return (min if metric.lower_is_better else max)(defined, default=None)


def rate_guess(score: str, true: tuple[int, ...]) -> list[float]:
    """Rate a uniform guess by a metric that has a value for each class, (n_classes,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float(value) for value in find_metric(score).load()(guess_uniformly(np.asarray(true, float)))]


def find_chance(confusion: pl.DataFrame) -> pl.DataFrame:
    """Find the chance level of every score of classes, as a mean over the runs of a setting.

    Args:
        confusion: CONFUSION rows.

    Returns:
        `COLUMNS`: `label` is null for a score of all classes; the F1 of a class is that of a uniform guess.
    """
    runs = confusion.group_by([*RUN, "label"]).agg(pl.col("count").sum()).sort([*RUN, "label"])
    tested = runs.group_by(RUN, maintain_order=True).agg("label", "count")
    rows: list[dict[str, Any]] = []
    known: dict[Any, list[tuple[str, str | None, float | None]]] = {}
    for row in tested.iter_rows(named=True):
        setting = {name: row[name] for name in SETTING}
        key = tuple(row["label"]), tuple(row["count"])
        if key not in known:
            known[key] = _rate_all(*key)
        rows += [setting | {"metric": metric, "label": label, "chance": value} for metric, label, value in known[key]]
    frame = pl.DataFrame(rows, schema=COLUMNS)
    return frame.group_by([*SETTING, "metric", "label"], maintain_order=True).agg(pl.col("chance").mean())


def _rate_all(labels: tuple[str, ...], true: tuple[int, ...]) -> list[tuple[str, str | None, float | None]]:
    """(metric, class or None, chance level) of every metric of classes."""
    found: list[tuple[str, str | None, float | None]] = []
    for metric in list_metrics("classes"):
        if metric.per_class:
            found += [
                (metric.name, label, value) for label, value in zip(labels, rate_guess(metric.name, true), strict=True)
            ]
        else:
            found.append((metric.name, None, rate_chance(metric.name, true)))
    return found


def find_constant(score: str) -> float | None:
    """The score of attributes of a model that always answers the mean; None where its metric does not say."""
    return find_metric(score).chance
