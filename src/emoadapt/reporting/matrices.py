"""Figures with one cell or dot per class: confusion matrices and per-class F1."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from emoadapt.config import Study
from emoadapt.reporting.canvas import new_figure, save_figure, save_note, split_panels
from emoadapt.reporting.levels import draw_class_levels
from emoadapt.reporting.panels import MODEL, split_backbones, split_models
from emoadapt.reporting.style import (
    is_vector,
    label_line,
    mark_of,
    model_key,
    name_model,
    shorten,
    subset_key,
    subset_name,
)
from emoadapt.study.nodes import Model

_COLUMNS = 3


def draw_confusion(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """Row-normalised confusion matrices at the largest training set, a backbone's starts side by side.

    Cells show the mean share over runs and, below it, the mean count of utterances per run.
    """
    lines = _confusion_lines(study, frame)
    if not lines:
        return save_note(out, name, "There is no confusion matrix to draw.")
    width = max(len(line) for line in lines)
    size = max(len(study.tasks[cell[0]].classes) for line in lines for cell in line)
    side = 0.52 * size + 1.1
    titles = {cell: _title_matrix(study, cell, 11 * size if size < 4 else 9 * size) for line in lines for cell in line}
    tall = 0.17 * max(title.count("\n") for title in titles.values())
    with new_figure((side + 0.5) * width + 0.3, (side + tall) * len(lines)) as figure:
        axes = figure.subplots(len(lines), width, squeeze=False)
        for row, line in zip(axes, lines, strict=True):
            for axis, cell in zip(row, line, strict=False):
                task, corpus, subset, model = cell
                part = frame.filter(task=task, test_corpus=corpus, subset=subset, **model._asdict())
                classes = study.tasks[task].classes
                _draw_matrix(axis, _mean_counts(part, classes), classes, first=axis is row[0])
                axis.set_title(titles[cell], color=mark_of(study, model).colour, fontsize=9)
            for axis in row[len(line) :]:
                axis.remove()
        save_figure(figure, out, name)
    return None


def _title_matrix(study: Study, cell: tuple[str, str, str, Model], width: int) -> str:
    """Title of a matrix, in lines of at most `width` characters; longer words are broken, and nothing is left out."""
    task, corpus, subset, model = cell
    place = task if corpus == study.tasks[task].corpus else f"{task} → {corpus}"
    said = (place, name_model(study, model), subset_name(subset))
    return "\n".join(line for text in said for line in textwrap.wrap(text, width, break_on_hyphens=False))


def _confusion_lines(study: Study, frame: pl.DataFrame) -> list[list[tuple[str, str, str, Model]]]:
    """Settings to draw: a line per task, test corpus and backbone, at most three matrices wide."""
    lines: list[list[tuple[str, str, str, Model]]] = []
    for task, config in study.tasks.items():
        found = frame.filter(task=task)
        corpora = sorted(set(found["test_corpus"]), key=lambda c: (c != config.corpus, c))
        for corpus in corpora:
            part = found.filter(test_corpus=corpus)
            largest = max(set(part["subset"]), key=subset_key)
            rows = part.filter(subset=largest).select(MODEL).unique().rows()
            models = sorted((Model(*row) for row in rows), key=lambda model: model_key(study, model))
            for backbone, group in itertools.groupby(models, key=lambda model: model.backbone):
                cells = [(task, corpus, largest, model) for model in group]
                last = lines[-1] if lines else []
                if (
                    last
                    and is_vector(study, backbone)
                    and len(last + cells) <= _COLUMNS
                    and last[0][:2] == (task, corpus)
                ):
                    last += cells
                else:
                    lines += [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    return lines


def _mean_counts(frame: pl.DataFrame, classes: tuple[str, ...]) -> NDArray[np.float64]:
    """(n_classes, n_classes) mean count over runs."""
    position = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes),) * 2)
    for label, predicted, mean in frame.group_by("label", "predicted").agg(pl.col("count").mean()).iter_rows():
        counts[position[label], position[predicted]] = mean
    return counts


def _show_count(count: float) -> str:
    """A mean over runs: 7, 6.3, 120."""
    return f"{count:.0f}" if count >= 100 else f"{count:.1f}".removesuffix(".0")


def _draw_matrix(axis: Axes, counts: NDArray[np.float64], classes: tuple[str, ...], *, first: bool) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, guess in np.ndindex(shares.shape):
        ink = "white" if shares[true, guess] > 0.55 else "#222222"
        if totals[true, 0]:
            axis.text(
                guess,
                true - 0.14,
                f"{100 * shares[true, guess]:.0f} %",
                ha="center",
                va="center",
                color=ink,
                fontsize=8,
            )
            axis.text(
                guess, true + 0.24, _show_count(counts[true, guess]), ha="center", va="center", color=ink, fontsize=7
            )
    names = [shorten(name) for name in classes]
    axis.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(classes)), names, fontsize=8)
    axis.grid(visible=False)
    axis.tick_params(length=0)
    axis.set_xlabel("predicted")
    if first:
        axis.set_ylabel("true")
    for spine in axis.spines.values():
        spine.set_visible(False)


def draw_per_class(study: Study, frame: pl.DataFrame, out: Path, name: str) -> None:
    """F1 of every class at the largest training set: a panel per task, test corpus and backbone."""
    lines = _per_class_panels(study, frame)
    if not lines:
        return save_note(out, name, "There is no per-class F1 to draw.")
    columns = min(2, len(lines))
    rows = -(-len(lines) // columns)
    tallest = max(part["label"].n_unique() for _, part in lines)
    with new_figure(4.9 * columns, (0.42 * tallest + 1.15) * rows + 0.4) as figure:
        axes = split_panels(figure, len(lines), columns)
        for axis, (title, part) in zip(axes, lines, strict=True):
            task = part["task"][0]
            _draw_class_dots(study, axis, part, [c for c in study.tasks[task].classes if c in set(part["label"])])
            axis.set_title(title)
            several = part.select("partition", "resampling", "seed").n_unique() > 1
            axis.set_xlabel("F1 (mean over runs, ± standard deviation)" if several else "F1 of one run")
        handles = {
            label: handle
            for axis in figure.axes
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=2 * columns, frameon=False, handletextpad=0.2,
            labelcolor="linecolor", prop={"size": 9, "weight": "bold"},
        )  # fmt: skip
        save_figure(figure, out, name)
    return None


def _per_class_panels(study: Study, frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    panels = []
    for task, config in study.tasks.items():
        found = frame.filter(task=task)
        for corpus in sorted(set(found["test_corpus"]), key=lambda c: (c != config.corpus, c)):
            part = found.filter(test_corpus=corpus)
            part = part.filter(subset=max(set(part["subset"]), key=subset_key))
            place = task if corpus == config.corpus else f"{task} → {corpus}"
            title = f"{place}, {subset_name(part['subset'][0])}"
            panels += [(f"{title}\n{backbone}", rows) for backbone, rows in split_backbones(study, part)]
    return panels


def _draw_class_dots(study: Study, axis: Axes, frame: pl.DataFrame, classes: list[str]) -> None:
    models = split_models(study, frame)
    draw_class_levels(axis, frame, classes)
    step = 0.62 / max(len(models), 2)
    for index, (model, rows) in enumerate(models):
        mark = mark_of(study, model)
        stats = rows.group_by("label").agg(mean=pl.col("value").mean(), std=pl.col("value").std())
        values = {label: (mean, std or 0.0) for label, mean, std in stats.iter_rows()}
        places = [classes.index(c) + step * (index - (len(models) - 1) / 2) for c in classes if c in values]
        chosen = [values[c] for c in classes if c in values]
        for place, (mean, std) in zip(places, chosen, strict=True):
            axis.plot([max(mean - std, 0), min(mean + std, 1)], [place, place], color=mark.colour, linewidth=1.4)
        label = label_line(study, model)
        axis.plot(
            [m for m, _ in chosen],
            places,
            mark.marker,
            color=mark.colour,
            markersize=5.5,
            linestyle="none",
            label=label,
        )
    for boundary in range(1, len(classes)):
        axis.axhline(boundary - 0.5, color="#E6E6E6", linewidth=0.8)
    axis.set_yticks(range(len(classes)), [shorten(name) for name in classes])
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlim(-0.02, max(axis.get_xlim()[1], 0.1))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
