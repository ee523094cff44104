"""Picture of a declared table: our values filled, the paper's hollow."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from emoadapt.config import Study, TableConfig
from emoadapt.reporting.canvas import new_figure, save_figure, save_note, split_panels, spread_labels
from emoadapt.reporting.declared.cells import COLUMNS, list_missing
from emoadapt.reporting.declared.grid import label, name_model
from emoadapt.reporting.levels import draw_level, draw_segment
from emoadapt.reporting.measures import is_lower_better, label_metric
from emoadapt.reporting.reference import list_other_works
from emoadapt.reporting.style import (
    ADAPTED_COLOURS,
    GREY,
    INK,
    Mark,
    is_one_tailed,
    listing,
    mark_of,
    model_of,
    number,
    subset_key,
)
from emoadapt.study.nodes import DEFAULT, ORIGINAL, Model

Row = dict[str, Any]
PALE = "#6B6B6B"
NEAR = 2.5
"""A name stands left of its point if another model has up to so many times its size."""
_DASHES = ("-", "--", ":", "-.")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----")


def draw_table(study: Study, name: str, tidy: pl.DataFrame, out: Path) -> None:
    """Write `<out>/<name>.svg` and `.png`.

    Args:
        study: the configuration.
        name: a table of `study.tables`.
        tidy: its rows, as from `build_cells`.
        out: folder to write to.
    """
    table = study.tables[name]
    shown = tidy.filter(pl.col("missing").is_null())
    missing = list_missing(tidy)
    if shown.is_empty():
        return save_note(out, name, f"{table.title}: {', '.join(missing)}.")
    draw = {"points": _draw_points, "lines": _draw_lines, "bars": _draw_bars, "sizes": _draw_costs}[table.picture]
    draw(study, table, shown, _describe_missing(study, table, tidy), out, name)
    return None


def _describe_missing(study: Study, table: TableConfig, tidy: pl.DataFrame) -> str:
    """What is not in the picture and why; empty where all is."""
    groups = tidy.filter(pl.col("missing").is_not_null()).group_by("missing", maintain_order=True)
    return "; ".join(
        f"{listing(dict.fromkeys(_place(study, table, row) for row in part.iter_rows(named=True)))}: {reason[0]}"
        for reason, part in groups
    )


def _place(study: Study, table: TableConfig, row: Row) -> str:
    """Heading of a panel: the corpus tested on, and the number of training clips where a table has several."""
    home = row["task"] not in study.tasks or study.tasks[row["task"]].corpus == row["test_corpus"]
    place = label(study, table, "task", row)
    place = place if home else f"{place} → {label(study, table, 'corpus', row)}"
    return place if len(table.subsets) == 1 else f"{place}, {label(study, table, 'subset', row)}"


def _entry(study: Study, table: TableConfig, row: Row) -> str:
    """The model of a row, or the name of a best_of entry."""
    return str(row["entry"] or name_model(study, table, model_of(row)))


def _short(value: float | None, table: TableConfig) -> str:
    """A value as a label: three digits without the leading zero."""
    return number(value, 3).replace("0.", ".", 1)


def _explain(figure: Figure, study: Study, table: TableConfig, shown: pl.DataFrame, missing: str) -> None:
    """The title above the picture; below it how to read it, and what is not there; in lines as wide as the figure."""
    width = int(figure.get_figwidth() * 17)
    title = "\n".join(textwrap.wrap(table.title, int(figure.get_figwidth() * 14.5)))
    figure.suptitle(title, x=0.008, ha="left", fontsize=9.5)
    paper = shown["paper_mean"].null_count() < shown.height
    if table.picture == "sizes":
        parts = [
            f"mean over {listing(dict.fromkeys(_place(study, table, row) for row in shown.iter_rows(named=True)))}"
        ]
        parts += ["filled: ours", *(["hollow: the paper"] if paper else [])]
        figure.supxlabel(
            "\n".join(textwrap.wrap("; ".join([*parts, missing] if missing else parts), width)),
            fontsize=7.5,
            color=PALE,
        )
        return
    ours = "bar" if table.picture == "bars" else "filled" if paper else "point"
    parts = [f"{ours}: ours, line: {100 * study.report.confidence:g} % bootstrap interval over test clips"]
    if shown["chance"].null_count() < shown.height:
        parts.append("dotted: chance")
    if paper:
        spread = table.picture == "points" and shown["paper_std"].null_count() < shown.height
        parts.append("hollow: the paper" + (" ± its standard deviation" if spread else ""))
    if any(shown["stars"].drop_nulls()):
        good, bad = ("lower", "higher") if is_lower_better(table.metric) else ("higher", "lower")
        parts.append(
            f"* {good}, † {bad} than the baseline ({'one-tailed ' if is_one_tailed(study) else ''}p\u00a0<\u00a0.05)"
        )
    lines = textwrap.wrap("; ".join(parts), width) + textwrap.wrap(missing, width)
    figure.supxlabel("\n".join(lines), fontsize=7.5, color=PALE)


# --- points


def _draw_points(study: Study, table: TableConfig, shown: pl.DataFrame, missing: str, out: Path, name: str) -> None:
    """A panel per test set and number of training clips, side by side; a line per model."""
    panels = _group(shown, ["task", "test_corpus", "subset"])
    lines = _list_lines(study, table, shown)
    labels = max(len(text) for text, _ in lines)
    with new_figure(0.075 * labels + 2.9 * max(len(panels), 1.4) + 0.5, 0.27 * len(lines) + 1.75) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, rows in zip(axes, panels, strict=True):
            axis.set_title(_place(study, table, rows[0]), pad=15)
            _draw_panel(study, table, axis, lines, {(row["part"], _entry(study, table, row)): row for row in rows})
            draw_level(axis, pl.DataFrame(rows, schema=COLUMNS), vertical=True)
            axis.set_xlabel(label_metric(table.metric))
        axes[0].set_yticks(range(len(lines)), [text for text, _ in lines])
        for text, (_, part) in zip(axes[0].get_yticklabels(), lines, strict=True):
            text.set_fontweight("bold" if part is None else "normal")
        _explain(figure, study, table, shown, missing)
        save_figure(figure, out, name)


def _group(shown: pl.DataFrame, keys: Sequence[str]) -> list[list[Row]]:
    return [list(part.iter_rows(named=True)) for _, part in shown.group_by(keys, maintain_order=True)]


def _list_lines(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[tuple[str, str | None]]:
    """(text, part) from top to bottom; part None for the title of a part."""
    lines: list[tuple[str, str | None]] = []
    for (part,), rows in shown.group_by(["part"], maintain_order=True):
        if title := table.parts[int(str(part))].title:
            lines.append((title, None))
        entries = dict.fromkeys(_entry(study, table, row) for row in rows.iter_rows(named=True))
        lines += [(entry, str(part)) for entry in entries]
    return lines


def _draw_panel(
    study: Study,
    table: TableConfig,
    axis: Axes,
    lines: Sequence[tuple[str, str | None]],
    rows: dict[tuple[str, str], Row],
) -> None:
    paper = any(row["paper_mean"] is not None for row in rows.values())
    picks = {key: f" {_picked(study, row)}" if row["entry"] else "" for key, row in rows.items()}
    shift = 45 + 6.2 * max(map(len, picks.values()))
    for place, (text, part) in enumerate(lines):
        if part is None:
            axis.axhspan(place - 0.5, place + 0.5, color="#F4F4F4", zorder=0, linewidth=0)
            continue
        row = rows.get((part, text))
        if row is None:
            continue
        mark = mark_of(study, model_of(row))
        axis.plot([row["low"], row["high"]], [place - 0.08] * 2, color=mark.colour, linewidth=2, solid_capstyle="butt")
        axis.plot(row["mean"], place - 0.08, mark.marker, color=mark.colour, markersize=6)
        text = _short(row["mean"], table) + (row["stars"] or "") + picks[part, text]
        _beside(axis, place, 6, text, fontweight="bold")
        if row["paper_mean"] is not None:
            half = row["paper_std"] or 0.0
            ends = [row["paper_mean"] - half, row["paper_mean"] + half]
            axis.plot(ends, [place + 0.22] * 2, color=PALE, linewidth=0.8)
            axis.plot(
                row["paper_mean"],
                place + 0.22,
                mark.marker,
                markerfacecolor="white",
                markeredgecolor=PALE,
                markersize=5,
            )
            _beside(axis, place, shift, _short(row["paper_mean"], table), color=PALE)
    for text, place, colour in [("ours", 6, INK), *([("paper", shift, PALE)] if paper else [])]:
        axis.annotate(
            text, (1, 1), (place, 3), xycoords="axes fraction", textcoords="offset points", fontsize=8, color=colour
        )
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.margins(x=0.06)
    axis.locator_params(axis="x", nbins=5)


def _picked(study: Study, row: Row) -> str:
    """The backbone that a best_of entry came down to."""
    return study.report.names.get(row["backbone"], row["backbone"])


def _beside(axis: Axes, place: float, shift: float, text: str, **style: Any) -> None:
    """A label right of the panel, in a column with those of the other lines."""
    axis.annotate(
        text, (1, place), (shift, 0), xycoords=axis.get_yaxis_transform(), textcoords="offset points", va="center",
        fontsize=8, annotation_clip=False, **style,
    )  # fmt: skip


# --- lines


def _draw_lines(study: Study, table: TableConfig, shown: pl.DataFrame, missing: str, out: Path, name: str) -> None:
    """Over the number of training clips a panel per backbone; with one number, over the models, in one panel."""
    if len(table.subsets) == 1:
        return _draw_steps(study, table, shown, missing, out, name)
    panels = _group(shown, ["task", "test_corpus", "backbone"])
    columns = min(2, len(panels))
    height = -(-len(panels) // columns)
    subsets = sorted(set(shown["subset"]), key=subset_key)
    with new_figure(4.6 * columns, 2.5 * height + 0.8) as figure:
        axes = split_panels(figure, len(panels), columns, sharey=True)
        for axis, rows in zip(axes, panels, strict=True):
            _draw_sizes(study, table, axis, subsets, rows)
            draw_level(axis, pl.DataFrame(rows, schema=COLUMNS))
            axis.set_title(label(study, table, "backbone", rows[0]))
            axis.set_ylabel(label_metric(table.metric))
            axis.tick_params(labelleft=True)
        _explain(figure, study, table, shown, missing)
        save_figure(figure, out, name)
    return None


def _draw_sizes(study: Study, table: TableConfig, axis: Axes, subsets: Sequence[str], rows: Sequence[Row]) -> None:
    models = list(dict.fromkeys(map(model_of, rows)))
    ends = []
    for index, model in enumerate(models):
        chosen = sorted((row for row in rows if model_of(row) == model), key=lambda row: subset_key(row["subset"]))
        x = [subsets.index(row["subset"]) + 0.08 * (index - (len(models) - 1) / 2) for row in chosen]
        mark = mark_of(study, model)
        usual = _DASHES[(index + 1) % len(_DASHES)] if model.start == ORIGINAL else "-"
        axis.plot(x, [row["mean"] for row in chosen], usual if model.finetuning == DEFAULT else mark.line,
                  marker=mark.marker, color=mark.colour, linewidth=1.6, markersize=5.5)  # fmt: skip
        for place, row in zip(x, chosen, strict=True):
            axis.plot([place] * 2, [row["low"], row["high"]], color=mark.colour, linewidth=1.2)
            if row["stars"]:
                axis.annotate(
                    row["stars"],
                    (place, row["high"]),
                    (0, 1),
                    textcoords="offset points",
                    ha="center",
                    color=mark.colour,
                )
            if row["paper_mean"] is not None:
                _hollow(axis, place, row["paper_mean"], mark)
        names = [label(study, table, "start", chosen[-1])]
        names += [] if model.finetuning == DEFAULT else [label(study, table, "finetuning", chosen[-1])]
        ends.append((chosen[-1]["mean"], " ".join(filter(None, names)), mark.colour))
    axis.set_xticks(range(len(subsets)), [label(study, table, "subset", {"subset": subset}) for subset in subsets])
    axis.set_xlim(-0.35, len(subsets) - 0.65)
    axis.margins(y=0.12)
    _label_ends(axis, ends)
    axis.grid(visible=False, axis="x")


def _label_ends(axis: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right end of lines, moved apart where they would touch."""
    low, high = axis.get_ylim()
    heights = spread_labels([end[0] for end in ends], (high - low) * 0.085)
    for height, (_, text, colour) in zip(heights, ends, strict=True):
        axis.annotate(text, (1.0, height), (4, 0), xycoords=axis.get_yaxis_transform(), textcoords="offset points",
                      color=colour, fontweight="bold", va="center", annotation_clip=False)  # fmt: skip


def _hollow(axis: Axes, x: float, y: float, mark: Mark) -> None:
    axis.plot(x, y, mark.marker, markerfacecolor="white", markeredgecolor=PALE, markersize=5.5, zorder=4)


def _draw_steps(study: Study, table: TableConfig, shown: pl.DataFrame, missing: str, out: Path, name: str) -> None:
    """From model to model, a line per test set."""
    entries = list(dict.fromkeys(_entry(study, table, row) for row in shown.iter_rows(named=True)))
    with new_figure(1.35 * len(entries) + 2.2, 4.0) as figure:
        axis = figure.subplots()
        ends = []
        for index, rows in enumerate(_group(shown, ["task", "test_corpus"])):
            colour, dash = (INK, *ADAPTED_COLOURS)[index % 7], _DASHES[index % len(_DASHES)]
            marker = "osD^vPX"[index % 7]
            x = [entries.index(_entry(study, table, row)) for row in rows]
            axis.plot(x, [row["mean"] for row in rows], dash, marker=marker, color=colour, linewidth=1.6, markersize=6)
            _draw_step_labels(table, axis, list(zip(x, rows, strict=True)), colour, marker)
            ends.append((rows[-1]["mean"], _place(study, table, rows[0]), colour))
            draw_segment(axis, rows, min(x) - 0.2, max(x) + 0.2, colour)
        axis.set_xticks(range(len(entries)), entries)
        axis.set_xlim(-0.3, len(entries) - 0.8)
        axis.margins(y=0.14)
        axis.set_ylabel(label_metric(table.metric))
        _label_ends(axis, ends)
        axis.grid(visible=False, axis="x")
        _explain(figure, study, table, shown, missing)
        save_figure(figure, out, name)


def _draw_step_labels(
    table: TableConfig, axis: Axes, points: Sequence[tuple[int, Row]], colour: str, marker: str
) -> None:
    """Intervals, values with their stars, and the paper's values, dotted."""
    for x, row in points:
        axis.plot([x, x], [row["low"], row["high"]], color=colour, linewidth=1.2)
        axis.annotate(_short(row["mean"], table) + (row["stars"] or ""), (x, row["high"]), (0, 3), textcoords="offset points",
                      ha="center", color=colour, fontsize=8, fontweight="bold",
                      zorder=6, path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip
    # Beside ours, where they would hide one another.
    printed = [(x + 0.14, row["paper_mean"]) for x, row in points if row["paper_mean"] is not None]
    axis.plot([x for x, _ in printed], [y for _, y in printed], ":", color=PALE, linewidth=0.9, zorder=1)
    for x, value in printed:
        _hollow(axis, x, value, Mark(GREY, marker))


# --- sizes


def _draw_costs(study: Study, table: TableConfig, shown: pl.DataFrame, missing: str, out: Path, name: str) -> None:
    """Draw a point per model: mean score over number of parameters. Test sets that one model lacks are left out for all."""
    sets, entries = _group(shown, ["task", "test_corpus", "subset"]), _list_entries(study, table)
    whole = [rows for rows in sets if {_entry(study, table, row) for row in rows} >= set(entries)]
    if not whole:
        return save_note(out, name, f"{table.title}: no test set has a value of each model.")
    kept = pl.DataFrame([row for rows in whole for row in rows], schema=COLUMNS)
    points = [
        (size, [row for rows in whole for row in rows if _entry(study, table, row) == entry], entry)
        for entry, size in entries.items()
    ]
    with new_figure(8.4, 4.6) as figure:
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        names = []
        for size, rows, entry in points:
            mark = mark_of(study, model_of(rows[0]))
            ours = _mean(row["mean"] for row in rows)
            names.append((size, ours, entry, INK))
            if all(row["paper_mean"] is not None for row in rows):
                theirs = _mean(row["paper_mean"] for row in rows)
                axis.vlines(size, min(ours, theirs), max(ours, theirs), color=PALE, linewidth=0.7, zorder=1)
                _hollow(axis, size, theirs, mark)
            axis.plot(size, ours, mark.marker, color=mark.colour, markersize=7)
        for size, value, text in _list_other_points(study, table, whole):
            _hollow(axis, size, value, Mark(GREY, "o"))
            names.append((size, value, text, PALE))
        axis.margins(x=0.18, y=0.12)
        axis.set_xlabel("millions of parameters")
        axis.set_ylabel(label_metric(table.metric))
        _name_points(axis, names)
        left_out = [_place(study, table, rows[0]) for rows in sets if rows not in whole]
        lacking = f"{listing(left_out)}: not of every model" if left_out else ""
        _explain(figure, study, table, kept, "; ".join(filter(None, (missing, lacking))))
        save_figure(figure, out, name)
    return None


def _list_entries(study: Study, table: TableConfig) -> dict[str, float]:
    """Name in the picture of each entry of a table -> millions of parameters."""
    found = {}
    for part in table.parts:
        for entry in part.models:
            if isinstance(entry, str):
                found[name_model(study, table, Model.parse(entry))] = table.sizes[entry]
            else:
                found[str(entry.label)] = table.sizes[str(entry.label)]
    return found


def _list_other_points(
    study: Study, table: TableConfig, sets: Sequence[list[Row]]
) -> Iterator[tuple[float, float, str]]:
    """Size, mean and name of systems that the paper alone has, where it has them on all test sets."""
    values: dict[str, list[float]] = {}
    for rows in sets:
        for found in list_other_works(study, table.paper or (), rows[0]["task"], rows[0]["test_corpus"], table.metric):
            values.setdefault(found.column, []).append(found.mean)
    for column, size in table.sizes.items():
        if len(values.get(column, [])) == len(sets):
            # `SONAR [31] Params:600M` is cited as the paper does.
            yield size, _mean(values[column]), re.sub(r"\s*(\[\d+\]|Params:\S+)", "", column)


def _name_points(axis: Axes, names: Sequence[tuple[float, float, str, str]]) -> None:
    """Names right of points, or left where larger models are near; those of models of one size are moved apart."""
    low, high = axis.get_ylim()
    for size in (sizes := dict.fromkeys(size for size, *_ in names)):
        near = any(size < other < NEAR * size for other in sizes)
        alike = [name for name in names if name[0] == size]
        heights = spread_labels([value for _, value, _, _ in alike], (high - low) * 0.045)
        for height, (*_, text, colour) in zip(heights, alike, strict=True):
            axis.annotate(
                text, (size, height), (-7 if near else 7, 0), textcoords="offset points", ha="right" if near else "left",
                va="center", fontsize=8, color=colour, zorder=6, path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


# --- bars


def _draw_bars(study: Study, table: TableConfig, shown: pl.DataFrame, missing: str, out: Path, name: str) -> None:
    """A group per test set, a bar per model from 0, its name below it."""
    groups = _group(shown, ["task", "test_corpus", "subset"])
    entries = list(dict.fromkeys(_entry(study, table, row) for row in shown.iter_rows(named=True)))
    with new_figure(0.85 * len(shown) + 1.4, 4.1) as figure:
        axis = figure.subplots()
        ticks, begin = [], 0.0
        for rows in groups:
            for number_in_group, row in enumerate(rows):
                x = begin + number_in_group
                _draw_bar(table, axis, x, row, entries.index(_entry(study, table, row)))
                ticks.append((x, _entry(study, table, row)))
            draw_segment(axis, rows, begin - 0.45, begin + len(rows) - 0.55, INK)
            middle = begin + (len(rows) - 1) / 2
            axis.annotate(_place(study, table, rows[0]), (middle, 0), (0, -30), xycoords=axis.get_xaxis_transform(),
                          textcoords="offset points", ha="center", fontweight="bold", annotation_clip=False)  # fmt: skip
            begin += len(rows) + 0.6
        axis.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
        axis.tick_params(axis="x", length=0, pad=3)
        axis.set_ylim(0, 1.12 * max(max(row["high"], row["paper_mean"] or 0) for rows in groups for row in rows))
        axis.set_ylabel(label_metric(table.metric))
        axis.grid(visible=False, axis="x")
        axis.set_xlabel(" ", labelpad=12)
        _explain(figure, study, table, shown, missing)
        save_figure(figure, out, name)


def _draw_bar(table: TableConfig, axis: Axes, x: float, row: Row, kind: int) -> None:
    axis.bar(x, row["mean"], 0.82, color="#E8E8E8", edgecolor=INK, linewidth=0.8, hatch=_HATCHES[kind % len(_HATCHES)])
    axis.plot([x + 0.2] * 2, [row["low"], row["high"]], color=INK, linewidth=1.4)
    axis.annotate(_short(row["mean"], table) + (row["stars"] or ""), (x, max(row["high"], row["paper_mean"] or 0)), (0, 4),
                  textcoords="offset points", ha="center", fontsize=8, fontweight="bold")  # fmt: skip
    if row["paper_mean"] is not None:
        axis.add_line(
            Line2D(
                [x - 0.2], [row["paper_mean"]], marker="D", markerfacecolor="white", markeredgecolor=INK, markersize=6
            )
        )
