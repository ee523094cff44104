"""Figures of a model's confidence: reliability diagrams and accuracy-coverage curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes

from emoadapt.config import Study
from emoadapt.reporting.audits import sort_settings
from emoadapt.reporting.canvas import new_figure, save_figure, save_note, split_panels
from emoadapt.reporting.levels import draw_level
from emoadapt.reporting.panels import split_backbones, split_models
from emoadapt.reporting.style import label_line, mark_of, subset_key, subset_name

FEWEST = 5
"""Predictions, mean over runs, that a bin of a reliability diagram must hold to be drawn: the accuracy of fewer is noise."""


def draw_reliability(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """Accuracy over confidence at the largest training set, runs pooled; a panel per task, test corpus and backbone.

    Args:
        study: the configuration.
        frame: RELIABILITY rows.
        out: folder to write to.
        name: of the figure.
    """
    _draw_panels(study, frame, out, name, _draw_bins, ("confidence", "accuracy"))


def draw_selective(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """Accuracy over coverage at the largest training set, mean and standard deviation over runs; panels as above.

    Args:
        study: the configuration.
        frame: COVERAGE rows.
        out: folder to write to.
        name: of the figure.
    """
    _draw_panels(study, frame, out, name, _draw_coverage, ("clips kept, the surest first", "accuracy of those kept"))


def _draw_panels(
    study: Study,
    frame: pl.DataFrame,
    out: Path,
    name: str,
    draw: Callable[[Study, Axes, pl.DataFrame], None],
    labels: tuple[str, str],
) -> None:
    panels = _list_panels(study, frame)
    if not panels:
        return save_note(out, name, "There are no predictions of classes to draw.")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width, height = (5.2, 4.6) if columns == 1 else (3.6, 3.4)
    with new_figure(width * columns, height * rows + 0.4) as figure:
        axes = split_panels(figure, len(panels), columns)
        for axis, (title, part) in zip(axes, panels, strict=True):
            draw(study, axis, part)
            axis.set_title(title, fontsize=9)
            axis.set_xlabel(labels[0])
            axis.set_ylabel(labels[1])
        found = [axis.get_legend_handles_labels() for axis in axes]
        legend = {label: handle for handles, names in found for handle, label in zip(handles, names, strict=True)}
        figure.legend(
            legend.values(), legend.keys(), loc="outside upper left", ncols=_count_columns(width * columns, legend), frameon=False, handletextpad=0.4,
            labelcolor="linecolor", prop={"size": 9, "weight": "bold"},
        )  # fmt: skip
        save_figure(figure, out, name)
    return None


def _count_columns(width: float, labels: Iterable[str]) -> int:
    """Columns of a legend that fit into a figure that is `width` inches wide."""
    longest = max(map(len, labels), default=1)
    return max(1, int(width / (0.1 * longest + 0.5)))


def _list_panels(study: Study, frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    panels = []
    found = sort_settings(study, frame).partition_by("task", "test_corpus", as_dict=True, maintain_order=True)
    for (task, corpus), part in found.items():
        part = part.filter(subset=max(set(part["subset"]), key=subset_key))
        place = task if corpus == study.tasks[task].corpus else f"{task} → {corpus}"
        title = f"{place}, {subset_name(part['subset'][0])}"
        panels += [(f"{title}\n{backbone}", rows) for backbone, rows in split_backbones(study, part)]
    return panels


def _draw_bins(study: Study, axis: Axes, frame: pl.DataFrame) -> None:
    axis.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for model, rows in split_models(study, frame):
        runs = rows.select("partition", "resampling", "seed").n_unique()
        total = rows["count"].sum()
        pooled = (
            rows.filter(pl.col("count") > 0)
            .group_by("low")
            .agg(
                *((pl.col(c) * pl.col("count")).sum() / pl.col("count").sum() for c in ("confidence", "accuracy")),
                pl.col("count").sum(),
            )
            .filter(pl.col("count") >= FEWEST * runs)
            .sort("low")
        )
        mark = mark_of(study, model)
        axis.plot(pooled["confidence"], pooled["accuracy"], mark.line, color=mark.colour, linewidth=1.4)
        sizes = 12 + 160 * pooled["count"] / max(total, 1)
        axis.scatter(
            pooled["confidence"],
            pooled["accuracy"],
            s=sizes.to_numpy(),
            marker=mark.marker,
            color=mark.colour,
            zorder=3,
        )
        # The legend would show the size of the first point.
        axis.plot([], [], mark.marker, color=mark.colour, label=label_line(study, model))
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    axis.set_aspect("equal")


def _draw_coverage(study: Study, axis: Axes, frame: pl.DataFrame) -> None:
    for model, rows in split_models(study, frame):
        curve = (
            rows.group_by("coverage")
            .agg(mean=pl.col("accuracy").mean(), std=pl.col("accuracy").std().fill_null(0.0))
            .sort("coverage")
        )
        mark = mark_of(study, model)
        x, mean, std = (curve[c].to_numpy() for c in ("coverage", "mean", "std"))
        label = label_line(study, model)
        axis.plot(x, mean, mark.line, color=mark.colour, linewidth=1.6, label=label)
        axis.fill_between(
            x, (mean - std).clip(min=0), (mean + std).clip(max=1), color=mark.colour, alpha=0.15, linewidth=0
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(top=1.02)
    draw_level(axis, frame)
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
