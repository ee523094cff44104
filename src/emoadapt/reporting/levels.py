"""Chance levels beside scores: scores that need no learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.evaluation.chance import COLUMNS, RUN, SETTING, find_chance, find_constant, rate_chance
from emoadapt.reporting.measures import list_main_metrics
from emoadapt.storage.frames import read_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANCE = (
    "chance: what needs no learning, on the same test clips: the better one of a uniform guess and of always naming the most frequent class; "
    "of attributes a constant answer."
)
CHANCE_OF_CLASSES = "chance: the F1 of a uniform guess on the same test clips."
LONE = 0.95
"""Share of answers from which a run is said to give one answer."""

_COLOUR = "#555555"
_LINE: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (1, 2))}
"""Dots of a chance level in every figure."""


def find_levels(confusion: pl.DataFrame) -> pl.DataFrame:
    """Chance levels of all scores of classes: `evaluation.chance.COLUMNS`.

    Args:
        confusion: CONFUSION rows.
    """
    return find_chance(confusion) if confusion.height else pl.DataFrame(schema=COLUMNS)


def find_dev_levels(study: Study, splits: Mapping[str, Sequence[Path]]) -> dict[str, float | None]:
    """Chance level of what a task is judged by, on its development clips of all folds together.

    Args:
        study: the configuration.
        splits: task -> its SPLITS tables.
    """
    return {task: _find_dev_level(study, task, paths) for task, paths in splits.items()}


def _find_dev_level(study: Study, task: str, paths: Sequence[Path]) -> float | None:
    of_classes, of_attributes = list_main_metrics()
    if not study.tasks[task].classes:
        return find_constant(of_attributes)
    labels = read_frame(paths, schema.SPLITS, ["utterance_id", "split", "label"]).filter(split="dev")["label"]
    return rate_chance(of_classes, tuple(int((labels == name).sum()) for name in study.tasks[task].classes))


def add_chance(tidy: pl.DataFrame, levels: pl.DataFrame, metric: str | None = None) -> pl.DataFrame:
    """Add the column `chance`; null where it is not known.

    Args:
        tidy: rows with `evaluation.chance.SETTING`, `metric`, and `label` where they are of classes.
        levels: as from `find_levels`.
        metric: of all rows, where they do not name one.
    """
    keyed = tidy if metric is None else tidy.with_columns(metric=pl.lit(metric))
    by_class = "label" in keyed.columns
    known = levels if by_class else levels.filter(pl.col("label").is_null())
    keys = [*SETTING, "metric", *(["label"] if by_class else [])]
    joined = keyed.join(known.select(*keys, "chance"), on=keys, how="left", nulls_equal=True, maintain_order="left")
    constant = {score: find_constant(score) for score in joined["metric"].unique()}
    constants = pl.col("metric").replace_strict(constant, return_dtype=pl.Float64)
    joined = joined.with_columns(chance=pl.coalesce("chance", constants))
    return joined if metric is None else joined.drop("metric")


def count_lone_answers(classes: pl.DataFrame, confusion: pl.DataFrame) -> pl.DataFrame:
    """Add `lone_runs`: number of runs in which (nearly) all answers are this class.

    Args:
        classes: rows of `average_runs`, one for each class.
        confusion: CONFUSION rows.
    """
    answers = confusion.group_by([*RUN, "predicted"]).agg(pl.col("count").sum())
    answers = answers.with_columns(share=pl.col("count") / pl.col("count").sum().over(RUN))
    lone = (
        answers.filter(pl.col("share") >= LONE).group_by([*SETTING, "predicted"]).agg(lone_runs=pl.len().cast(pl.Int64))
    )
    joined = classes.join(
        lone.rename({"predicted": "label"}), on=[*SETTING, "label"], how="left", maintain_order="left"
    )
    return joined.with_columns(pl.col("lone_runs").fill_null(0))


def draw_segment(axis: Axes, rows: Sequence[Mapping[str, Any]], left: float, right: float, colour: str) -> None:
    """Draw the chance level of a group of rows as a dotted line between two places; nothing where none is known."""
    levels = [row["chance"] for row in rows if row["chance"] is not None]
    if levels:
        level = sum(levels) / len(levels)
        axis.plot([left, right], [level, level], color=colour, zorder=1, **_LINE)


def draw_class_levels(axis: Axes, frame: pl.DataFrame, classes: Sequence[str]) -> None:
    """Draw the chance level of each class as a dotted line in its row, with an entry in the legend; nothing where none is known.

    Args:
        axis: to draw in; class i is around y = i.
        frame: rows with the columns `label` and `chance`.
        classes: classes from top to bottom.
    """
    if "chance" not in frame.columns:
        return
    levels = frame.group_by("label", maintain_order=True).agg(pl.col("chance").mean()).drop_nulls()
    for label, level in levels.iter_rows():
        place = classes.index(label)
        axis.plot([level] * 2, [place - 0.42, place + 0.42], color=_COLOUR, zorder=1, **_LINE)
    if levels.height:
        axis.plot([], [], color=_COLOUR, linestyle=_LINE["linestyle"], label="chance (uniform guess)")


def draw_level(axis: Axes, frame: pl.DataFrame, *, vertical: bool = False) -> None:
    """Draw the chance level of a panel as a dotted line with its name; nothing where none is known.

    Args:
        axis: to draw in.
        frame: its rows, with the column `chance`; models that were tested on other clips may differ a little.
        vertical: the score is on the x axis.
    """
    levels = frame["chance"].drop_nulls().to_list() if "chance" in frame.columns else []
    if not levels:
        return
    level = sum(levels) / len(levels)
    (axis.axvline if vertical else axis.axhline)(level, color=_COLOUR, zorder=1, **_LINE)
    place = (level, 1.0) if vertical else (0.0, level)
    transform = axis.get_xaxis_transform() if vertical else axis.get_yaxis_transform()
    shift, align = ((3, -2), "top") if vertical else ((3, 2), "bottom")
    axis.annotate(
        "chance", place, shift, xycoords=transform, textcoords="offset points", va=align, color=_COLOUR, fontsize=7.5
    )
