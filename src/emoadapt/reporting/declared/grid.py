"""Printed form of a declared table: headings, row names and cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from emoadapt.config import Study, TableConfig
from emoadapt.errors import DataError
from emoadapt.reporting.measures import count_digits
from emoadapt.reporting.style import (
    interval,
    is_vector,
    label_model,
    model_of,
    number,
    probability,
    spread,
    subset_name,
    weights_of,
)
from emoadapt.study.nodes import Model

Row = dict[str, Any]
Kind = Literal["part", "value", "interval", "test", "paper"]

_STUBS = {
    "task": "Task",
    "corpus": "Tested on",
    "subset": "Training clips",
    "backbone": "Backbone",
    "start": "Model",
    "finetuning": "Fine-tuning",
    "model": "Model",
}


@dataclass(frozen=True)
class Line:
    """A line of text.

    Attributes:
        kind: what stands in its cells: the title of a part (no cells), mean ± std, the interval, the test, or the paper's value.
        stub: the row's name, one text per row dimension; for the lines below the value, what they hold.
        cells: one text per column; empty where there is nothing.
        note: in place of all cells, such as `needs corpus msp_podcast`.
    """

    kind: Kind
    stub: tuple[str, ...]
    cells: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Grid:
    """A printed table.

    Attributes:
        title: its caption.
        stubs: heading of each row dimension.
        columns: headings of each column, outermost first.
        lines: from top to bottom.
    """

    title: str
    stubs: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]


def build_grid(study: Study, name: str, tidy: pl.DataFrame) -> Grid:
    """Lay out a table of `build_cells`.

    Args:
        study: the configuration.
        name: the table.
        tidy: its rows.

    Raises:
        DataError: two cells of a part have the same names, so that one would hide the other.
    """
    table = study.tables[name]
    placed: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], Row]]] = {}
    columns: dict[tuple[str, ...], None] = {}
    for row in tidy.iter_rows(named=True):
        stub = tuple(label(study, table, dimension, row) for dimension in table.rows)
        column = tuple(label(study, table, dimension, row) for dimension in table.columns)
        cells = placed.setdefault(row["part"], {}).setdefault(stub, {})
        if cells.setdefault(column, row) != row:
            place = ", ".join(filter(None, (*stub, *column)))
            raise DataError(f"tables.{name}: two cells are both called {place}; give them different names (names)")
        columns[column] = None
    lines: list[Line] = []
    for part, rows in placed.items():
        if title := table.parts[int(part)].title:
            lines.append(Line("part", (title,)))
        for stub, cells in rows.items():
            lines += _write_row(study, table, stub, [cells.get(column) for column in columns])
    return Grid(table.title, tuple(_name_rows(study, table, key) for key in table.rows), tuple(columns), tuple(lines))


def _name_rows(study: Study, table: TableConfig, dimension: str) -> str:
    """Heading of a row dimension. Tasks that are called as their corpora are corpora to a reader."""
    corpora = {name: study.tasks[name].corpus for name in table.tasks if name in study.tasks}
    if dimension == "task" and all(name == corpus for name, corpus in corpora.items()):
        return "Corpus"
    return _STUBS[dimension]


def label(study: Study, table: TableConfig, dimension: str, row: Row) -> str:
    """What a row or column is called: by the names of the table, then those of the report, then as configured."""
    match dimension:
        case "task" | "subset":
            key = row[dimension]
            return _named(study, table, key) or (subset_name(key) if dimension == "subset" else key)
        case "corpus":
            return _named(study, table, row["test_corpus"]) or row["test_corpus"]
        case "backbone" | "start" | "finetuning" if row["backbone"] is not None:
            return _name_part(study, table, dimension, row)
    return row["entry"] or name_model(study, table, model_of(row))


def _name_part(study: Study, table: TableConfig, dimension: str, row: Row) -> str:
    """Backbone, start or fine-tuning alone; descriptors have one start, which is not printed."""
    if dimension == "start" and is_vector(study, row["backbone"]):
        return ""
    text = _named(study, table, row[dimension]) or row[dimension]
    return _note_untrained(study, row["backbone"], text) if dimension == "backbone" else text


def name_model(study: Study, table: TableConfig, model: Model) -> str:
    """A model in full: the name given to it, or the names of its parts, without a start of descriptors and the usual fine-tuning."""
    text = label_model(model, weights_of(study, model.backbone), study.report.names | table.names)
    return _note_untrained(study, model.backbone, text)


def _named(study: Study, table: TableConfig, key: str) -> str | None:
    return table.names.get(key, study.report.names.get(key))


def _note_untrained(study: Study, backbone: str, text: str) -> str:
    return f"{text} (untrained)" if weights_of(study, backbone) == "untrained" else text


def _write_row(study: Study, table: TableConfig, stub: tuple[str, ...], cells: list[Row | None]) -> list[Line]:
    """The lines of one row: values, and below them what there is of intervals, tests and the paper."""
    missing = {cell["missing"] for cell in cells if cell is not None}
    if len(missing) == 1 and None not in missing:
        return [Line("value", stub, ("",) * len(cells), next(iter(missing)))]
    confidence = f"{100 * study.report.confidence:g} % interval"
    under: list[tuple[Kind, str, Any]] = [
        ("interval", confidence, _interval_text),
        ("test", "difference, p", _test_text),
        ("paper", "paper", _paper_text),
    ]
    lines = [Line("value", stub, tuple(_value_text(study, table, cell) for cell in cells))]
    digits = count_digits(table.metric)
    for kind, title, write in under:
        texts = tuple("" if cell is None or cell["missing"] else write(cell, digits) for cell in cells)
        if any(texts):
            lines.append(Line(kind, (title, *("",) * (len(stub) - 1)), texts))
    return lines


def _value_text(study: Study, table: TableConfig, cell: Row | None) -> str:
    if cell is None:
        return ""
    if cell["missing"]:
        return str(cell["missing"])
    text = spread(cell["mean"], cell["std"], count_digits(table.metric)) + (cell["stars"] or "")
    if cell["entry"]:
        text += f" ({_named(study, table, cell['backbone']) or cell['backbone']})"
    return text


def _interval_text(cell: Row, digits: int) -> str:
    return interval(cell["low"], cell["high"], digits)


def _test_text(cell: Row, digits: int) -> str:
    if cell["difference"] is None:
        return ""
    p_value = probability(cell["p_value"])
    return f"{number(cell['difference'], digits, sign=True)}, p {p_value if p_value.startswith(('<', '–')) else '= ' + p_value}"


def _paper_text(cell: Row, digits: int) -> str:
    """As printed: the paper gives its standard deviations with two or three digits."""
    if cell["paper_mean"] is None:
        return ""
    std = "" if cell["paper_std"] is None else f" ± {cell['paper_std']:g}"
    picked = "" if "(" not in cell["paper_column"] else " " + cell["paper_column"][cell["paper_column"].index("(") :]
    return f"{number(cell['paper_mean'], digits)}{std}{cell['paper_stars'] or ''}{picked}"


def write_markdown(grid: Grid, footnotes: list[str]) -> str:
    """Title, pipe table and footnotes; what Markdown would read as its own is escaped."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    heads = [*grid.stubs, *(" ".join(filter(None, column)) for column in grid.columns)]
    rows = [line(list(map(_escape, heads))), line(["---"] * len(heads))]
    for entry in grid.lines:
        if entry.kind == "part":
            rows.append(line([f"**{_escape(entry.stub[0])}**", *[""] * (len(heads) - 1)]))
            continue
        stub = [f"*{_escape(text)}*" if text and entry.kind != "value" else _escape(text) for text in entry.stub]
        cells = [entry.note, *entry.cells[1:]] if entry.note else list(entry.cells)
        rows.append(line([*stub, *map(_escape, cells)]))
    notes = "".join(f"- {_escape(note)}\n" for note in footnotes)
    return f"**{_escape(grid.title)}**\n\n" + "\n".join(rows) + "\n\n" + notes


def _escape(text: str) -> str:
    for sign in "\\|*`":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\r", "").replace("\n", " ").replace("<", "&lt;")
