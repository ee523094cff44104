"""Training curves: losses and scores of Stage 1, dev scores of Stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes

from emoadapt.config import Study
from emoadapt.reporting.canvas import name_ends, new_figure, save_figure, save_note, split_panels
from emoadapt.reporting.learned import BASELINES, choose_score
from emoadapt.reporting.levels import draw_level
from emoadapt.reporting.measures import label_metric, list_main_metrics
from emoadapt.reporting.panels import MODEL, split_models
from emoadapt.reporting.style import (
    fold,
    is_vector,
    label_line,
    mark_of,
    mark_provenance,
    model_key,
    subset_name,
)
from emoadapt.study.nodes import Model


def draw_adaptation(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """Stage 1: per run a line of losses and below it the scores, a column per objective, the kept epoch marked."""
    frame = frame.filter(pl.col("part") != "course", stage="stage1")
    if frame.is_empty():
        return save_note(out, name, "There is no training curve of Stage 1.")
    runs = sorted(set(frame["run"]), key=lambda run: model_key(study, Model.parse(run)))
    objectives = sorted({metric.partition("_")[2] for metric in set(frame["metric"]) - {"loss"}})
    lines = [
        (run, line)
        for run in runs
        for line in _arrange_metrics(set(frame.filter(run=run)["metric"]), ["", *objectives])
    ]
    with new_figure(max(3.0 * (1 + len(objectives)), 5.0), 2.3 * len(lines) + 0.2) as figure:
        axes = figure.subplots(len(lines), 1 + len(objectives), squeeze=False)
        for row, (run, line) in zip(axes, lines, strict=True):
            for axis, metric in zip(row, line, strict=True):
                part = frame.filter(run=run, metric=metric)
                if part.is_empty():
                    axis.remove()
                    continue
                known = [f"{kind}_{metric.partition('_')[2]}" for kind in BASELINES if not metric.startswith("loss")]
                _draw_curve(axis, part, frame.filter(pl.col("metric").is_in(known), run=run))
                axis.set_title(_name_panel(metric, run, part))
                axis.set_xlabel("epoch")
        save_figure(figure, out, name)
    return None


def _arrange_metrics(found: set[str], objectives: list[str]) -> list[list[str]]:
    """Losses, then scores (`ccc_<objective>`, `accuracy_<objective>`), each below the loss of its objective; empty where there is none.

    A run of one objective has one loss: the score then stands beside it.
    """
    chosen = {objective: choose_score(found, objective) for objective in objectives if objective}
    scores = {objective: metric for objective, metric in chosen.items() if metric}
    losses = [f"loss_{objective}" if objective else "loss" for objective in objectives]
    if not found.intersection(losses[1:]):
        return [["loss", *(scores.get(objective, "") for objective in objectives[1:])]]
    return [losses, [scores.get(objective, "") for objective in objectives]] if scores else [losses]


def _name_panel(metric: str, run: str, part: pl.DataFrame) -> str:
    if metric == "loss":
        kept = part.filter(pl.col("best"))["epoch"].unique().to_list()
        return f"{run}{f', epoch {kept[0]} kept' if kept else ''}\nloss (weighted sum)"
    kind, _, objective = metric.partition("_")
    gap = ": " if len(objective) < 20 else "\n"
    return f"{objective}{gap}{kind.upper() if kind == 'ccc' else kind}"


def _draw_curve(axis: Axes, frame: pl.DataFrame, baseline: pl.DataFrame) -> None:
    """A metric by epoch; under an accuracy what needs no learning, such as the share of the most frequent class."""
    ends = []
    if not baseline.is_empty():
        level, name = baseline["value"][-1], baseline["metric"][-1].partition("_")[0]
        axis.axhline(level, color="#7F7F7F", linestyle=":", linewidth=1.2)
        ends.append((level, name, "#7F7F7F"))
    for part, colour, style in (("train", "#7F7F7F", "--"), ("held_out", "#0072B2", "-")):
        rows = frame.filter(part=part).sort("epoch")
        if rows.is_empty():
            continue
        axis.plot(
            rows["epoch"], rows["value"], style, color=colour, linewidth=1.6, marker="." if rows.height == 1 else None
        )
        ends.append((rows["value"][-1], part.replace("_", " "), colour))
        if part == "held_out":
            kept = rows.filter(pl.col("best"))
            axis.plot(kept["epoch"], kept["value"], "o", color="#D55E00", markersize=7, zorder=4)
    axis.margins(y=0.15)
    name_ends(axis, ends, 0.11, fontsize=8)


def draw_finetuning(
    study: Study, frame: pl.DataFrame, out: Path, name: str, levels: Mapping[str, float | None]
) -> None:
    """Stage 2: development score over epochs, a panel per task and model; thin lines are runs, the thick one their mean.

    Args:
        study: the configuration.
        frame: CURVES rows.
        out: folder to write to.
        name: of the figure.
        levels: task -> chance level on its development clips.
    """
    frame = frame.filter(pl.col("metric").is_in(list_main_metrics()), stage="stage2", part="dev")
    # What is fitted in one step has a score, and no course.
    frame = _split_names(frame.filter(pl.col("epoch").max().over("run") > 0))
    if frame.is_empty():
        return save_note(out, name, "There is no training curve of Stage 2.")
    tasks = list(study.tasks)
    panels = sorted(
        frame.partition_by("task", "backbone", as_dict=True).items(),
        key=lambda panel: (tasks.index(panel[0][0]), model_key(study, Model(panel[0][1]))),
    )
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    with new_figure(max(3.9 * columns, 5.0), 2.6 * lines) as figure:
        axes = split_panels(figure, len(panels), columns, sharey=True)
        for axis, ((task, backbone), part) in zip(axes, panels, strict=True):
            _draw_runs(study, axis, part)
            draw_level(axis, pl.DataFrame({"chance": [levels.get(task)]}, schema={"chance": pl.Float64}))
            note = " (descriptors)" if is_vector(study, backbone) else ""
            axis.set_title(f"{task}, {subset_name(part['subset'][0])}\n{mark_provenance(study, backbone)}{note}")
            axis.set_xlabel("epoch")
            axis.set_ylabel(f"{label_metric(part['metric'][0])} (dev)")
            axis.tick_params(labelleft=True)
        save_figure(figure, out, name)
    return None


def _split_names(frame: pl.DataFrame) -> pl.DataFrame:
    """Curves with the parts of their names, `<task>.<model>.<subset>.<run>`, as columns."""
    names = {}
    for name in frame["run"].unique():
        task, *model, subset, _ = name.split(".")
        names[name] = {"run": name, "task": task, **Model.parse(".".join(model))._asdict(), "subset": subset}
    columns = ("run", "task", *MODEL, "subset")
    return frame.join(pl.DataFrame(list(names.values()), schema=dict.fromkeys(columns, pl.String)), on="run")


def _draw_runs(study: Study, axis: Axes, frame: pl.DataFrame) -> None:
    ends = []
    for model, rows in split_models(study, frame):
        mark = mark_of(study, model)
        for _, run in sorted(rows.partition_by("run", as_dict=True).items()):
            run = run.sort("epoch")
            axis.plot(run["epoch"], run["value"], color=mark.colour, linewidth=0.6, alpha=0.35)
        kept = rows.filter(pl.col("best"))
        axis.plot(kept["epoch"], kept["value"], mark.marker, color=mark.colour, markersize=4, alpha=0.8)
        mean = rows.group_by("epoch").agg(pl.col("value").mean()).sort("epoch")
        axis.plot(mean["epoch"], mean["value"], mark.line, color=mark.colour, linewidth=2)
        ends.append((mean["value"][-1], fold(label_line(study, model)), mark.colour))
    name_ends(axis, ends, 0.11, fontsize=8)
    axis.locator_params(axis="x", integer=True)
