"""Figures of the report, drawn from Parquet tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.reporting.audits import audited_tasks
from emoadapt.reporting.canvas import name_ends, new_figure, save_figure, save_note, split_panels
from emoadapt.reporting.confidence import draw_reliability, draw_selective
from emoadapt.reporting.curves import draw_adaptation, draw_finetuning
from emoadapt.reporting.display import STATUS_WORDS
from emoadapt.reporting.inputs import ReportInputs
from emoadapt.reporting.levels import add_chance, draw_level, find_dev_levels, find_levels
from emoadapt.reporting.matrices import draw_confusion, draw_per_class
from emoadapt.reporting.measures import label_metric, list_main_metrics
from emoadapt.reporting.panels import split_backbones, split_models
from emoadapt.reporting.style import (
    fold,
    label_line,
    mark_of,
    model_key,
    model_of,
    name_model,
    number,
    subset_key,
    subset_name,
)
from emoadapt.reporting.tables import average_runs, count_quarantine, keep_main
from emoadapt.storage.frames import read_frame


def figure_names(study: Study) -> list[str]:
    """Figures that `write_figures` makes for a study, in the order of the report."""
    names = []
    if study.tasks:
        names += ["results"]
        if any(len(task.subsets) > 1 for task in study.tasks.values()):
            names += ["low_resource"]
        if any(task.classes for task in study.tasks.values()):
            names += ["per_class_f1", "confusion", "f1_bias"]
        if audited_tasks(study):
            names += ["reliability", "selective"]
        if study.backbones:
            names += ["cosine_distance"]
    if study.adaptations and study.backbones:
        names += ["training_curves"]
    if study.tasks:
        names += ["finetuning_curves"]
    return [*names, "quarantine"]


def write_figures(study: Study, inputs: ReportInputs, out: Path) -> None:
    """Write `out/<figure>.svg` and `out/<figure>.png` for every name of `figure_names`.

    Args:
        study: the configuration.
        inputs: tables to read.
        out: folder to write to.

    Raises:
        DataError: a table is missing or of another schema.
    """
    out.mkdir(parents=True, exist_ok=True)
    confusion = read_frame(inputs.confusion, schema.CONFUSION)
    chance = find_levels(confusion)
    measured = read_frame(inputs.metrics, schema.METRICS)
    compared = add_chance(keep_main(read_frame(inputs.comparisons, schema.COMPARISONS)), chance)
    judged = compared.filter(pl.col("metric").is_in(list_main_metrics()))
    distances = average_runs(study, measured.filter(metric="cosine_distance"))
    curves, run_curves = (read_frame(paths, schema.CURVES) for paths in (inputs.curves, inputs.run_curves))
    reliability = read_frame(inputs.audits.get("reliability", []), schema.RELIABILITY)
    coverage = add_chance(read_frame(inputs.audits.get("coverage", []), schema.COVERAGE), chance, metric="accuracy")
    dev = find_dev_levels(study, inputs.splits)
    quarantine = count_quarantine(read_frame([inputs.quarantine], schema.QUARANTINE))
    drawers: dict[str, Callable[[str], None]] = {
        "results": lambda name: _draw_intervals(study, judged, out, name),
        "f1_bias": lambda name: _draw_intervals(study, compared.filter(metric="f1_bias"), out, name),
        "low_resource": lambda name: _draw_sizes(study, judged, out, name),
        "cosine_distance": lambda name: _draw_sizes(study, distances, out, name),
        "per_class_f1": lambda name: draw_per_class(study, add_chance(measured.filter(metric="f1"), chance), out, name),
        "reliability": lambda name: draw_reliability(study, reliability, out, name),
        "selective": lambda name: draw_selective(study, coverage, out, name),
        "confusion": lambda name: draw_confusion(study, confusion, out, name),
        "training_curves": lambda name: draw_adaptation(study, curves, out, name),
        "finetuning_curves": lambda name: draw_finetuning(study, run_curves, out, name, dev),
        "quarantine": lambda name: _draw_quarantine(quarantine, out, name),
    }
    for name in figure_names(study):
        drawers[name](name)


def _panels(study: Study, frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """(title, rows) per task and test corpus, the corpus trained on first."""
    tasks = list(study.tasks)
    found = frame.partition_by("task", "test_corpus", as_dict=True)
    order = sorted(found, key=lambda key: (tasks.index(key[0]), key[1] != study.tasks[key[0]].corpus, key[1]))
    panels = []
    for task, corpus in order:
        title = task if corpus == study.tasks[task].corpus else f"{task} → {corpus} (trained without its labels)"
        panels.append((title, found[task, corpus]))
    return panels


def _draw_intervals(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """Mean and bootstrap interval of every setting, one row each, grouped by training clips."""
    if frame.is_empty():
        return save_note(out, name, "There is no result to draw.")
    panels = [(title, part, _rows_of_panel(study, part)) for title, part in _panels(study, frame)]
    heights = [len(rows) + 1.6 for *_, rows in panels]
    with new_figure(8.6, 0.25 * sum(heights) + 0.7) as figure:
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
        for axis, (title, part, rows) in zip(axes, panels, strict=True):
            _draw_forest(study, axis, rows)
            draw_level(axis, part, vertical=True)
            axis.set_title(title)
            axis.tick_params(labelbottom=True)
        measured = " or ".join(label_metric(metric) for metric in frame["metric"].unique(maintain_order=True))
        axes[-1].set_xlabel(f"{measured} (point: mean over runs; line: bootstrap interval)")
        save_figure(figure, out, name)
    return None


def _rows_of_panel(study: Study, frame: pl.DataFrame) -> list[dict[str, Any] | str]:
    """Rows from top to bottom: a heading per subset (if there are several), then its models."""
    rows: list[dict[str, Any] | str] = []
    subsets = sorted(set(frame["subset"]), key=subset_key)
    for subset in subsets:
        if len(subsets) > 1:
            rows.append(subset_name(subset))
        chosen = frame.filter(subset=subset).iter_rows(named=True)
        rows += sorted(chosen, key=lambda row: model_key(study, model_of(row)))
    return rows


def _draw_forest(study: Study, axis: Axes, rows: Sequence[dict[str, Any] | str]) -> None:
    labels = []
    for place, row in enumerate(rows):
        if isinstance(row, str):
            axis.axhline(place, color="#F2F2F2", linewidth=14, zorder=0)
            labels.append(row)
            continue
        mark = mark_of(study, model_of(row))
        axis.plot([row["low"], row["high"]], [place, place], color=mark.colour, linewidth=2, solid_capstyle="butt")
        axis.plot(row["mean"], place, mark.marker, color=mark.colour, markersize=6.5)
        axis.annotate(
            number(row["mean"], 2).replace("0.", ".", 1), (row["high"], place), (6, 0), textcoords="offset points", va="center",
            color=mark.colour, fontweight="bold",
        )  # fmt: skip
        labels.append(name_model(study, model_of(row)))
    axis.set_yticks(range(len(rows)), labels)
    for text, row in zip(axis.get_yticklabels(), rows, strict=True):
        if isinstance(row, str):
            text.set_fontweight("bold")
        else:
            text.set_color(mark_of(study, model_of(row)).colour)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.margins(x=0.12)


def _draw_sizes(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """A value over the number of training clips: a panel per task, test corpus and backbone."""
    several = [task for task, config in study.tasks.items() if len(config.subsets) > 1 or name == "cosine_distance"]
    frame = frame.filter(pl.col("task").is_in(several))
    if frame.is_empty():
        return save_note(out, name, "There is nothing to draw over the number of training clips.")
    panels = []
    for title, part in _panels(study, frame):
        panels += [(f"{title}\n{backbone}", rows) for backbone, rows in split_backbones(study, part)]
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    with new_figure(4.9 * columns, 2.9 * lines) as figure:
        axes = split_panels(figure, len(panels), columns)
        for axis, (title, part) in zip(axes, panels, strict=True):
            _draw_size_lines(study, axis, part)
            draw_level(axis, part)
            axis.set_title(title)
            axis.set_ylabel(label_metric(part["metric"][0]))
        save_figure(figure, out, name)
    return None


def _draw_size_lines(study: Study, axis: Axes, frame: pl.DataFrame) -> None:
    subsets = sorted(set(frame["subset"]), key=subset_key)
    models = split_models(study, frame)
    ends, shift = [], 0.09
    for index, (model, part) in enumerate(models):
        rows = {row["subset"]: row for row in part.iter_rows(named=True)}
        mark = mark_of(study, model)
        x = [subsets.index(s) + shift * (index - (len(models) - 1) / 2) for s in subsets if s in rows]
        chosen = [rows[s] for s in subsets if s in rows]
        means = [row["mean"] for row in chosen]
        axis.plot(x, means, mark.line, marker=mark.marker, color=mark.colour, linewidth=1.6, markersize=5.5)
        for place, row in zip(x, chosen, strict=True):
            ends_of = (row["low"], row["high"]) if "low" in row else _std_band(row)
            axis.plot([place, place], ends_of, color=mark.colour, linewidth=1.2)
        ends.append((means[-1], fold(label_line(study, model)), mark.colour))
    axis.set_xticks(range(len(subsets)), [subset_name(s) for s in subsets])
    axis.set_xlim(-0.4, len(subsets) - 0.6)
    axis.margins(y=0.1)
    name_ends(axis, ends, 0.085, fontweight="bold")
    axis.grid(visible=False, axis="x")


def _std_band(row: dict[str, Any]) -> tuple[float, float]:
    half = row["std"] or 0.0
    return max(row["mean"] - half, 0.0), row["mean"] + half


_STATUS_COLOURS = {"failed": "#D55E00", "absent": "#56B4E9", "noted": "#999999"}


def _draw_quarantine(counts: pl.DataFrame, out: Path, name: str) -> None:
    """Utterances set aside or noted, a bar per corpus, feature and reason."""
    if counts.is_empty():
        return save_note(out, name, "Nothing was set aside: every feature could be computed for every clip.")
    rows = list(counts.sort("corpus", "feature", "utterances", descending=[False, False, True]).iter_rows(named=True))
    with new_figure(8.6, 0.27 * len(rows) + 0.9) as figure:
        axis = figure.subplots()
        for place, row in enumerate(rows):
            axis.barh(place, row["utterances"], color=_STATUS_COLOURS[row["status"]], height=0.66)
            note = f"{row['utterances']:,}  {STATUS_WORDS.get(row['status'], row['status'])}"
            axis.annotate(note, (row["utterances"], place), (5, 0), textcoords="offset points", va="center")
        axis.set_yticks(range(len(rows)), [f"{row['corpus']} · {row['feature']} · {row['code']}" for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlim(0, 1.22 * max(row["utterances"] for row in rows))
        axis.set_xlabel("utterances (absent: the modality is not there; failed: it could not be read)")
        axis.locator_params(axis="x", integer=True)
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
        save_figure(figure, out, name)
    return None
