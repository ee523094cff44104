"""The tables and figures that a study declares under `tables`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.errors import DataError
from emoadapt.reporting.declared.cells import COLUMNS, build_cells, list_missing
from emoadapt.reporting.declared.footnotes import list_footnotes
from emoadapt.reporting.declared.grid import Grid, build_grid, write_markdown
from emoadapt.reporting.declared.latex import write_latex
from emoadapt.reporting.declared.pictures import draw_table
from emoadapt.reporting.levels import find_levels
from emoadapt.storage.files import write_text
from emoadapt.storage.frames import read_frame
from emoadapt.storage.spreadsheets import format_frame, read_csv

__all__ = ["Declared", "declared_names", "read_declared", "write_declared"]


@dataclass(frozen=True)
class Declared:
    """A declared table, read back for the report.

    Attributes:
        name: its name in the configuration; the picture is `<figures>/<name>.svg`.
        grid: headings and lines of text.
        footnotes: sentences below it.
        missing: why cells have no value, such as `needs corpus msp_podcast`; empty where all have.
        empty: no cell has a value.
    """

    name: str
    grid: Grid
    footnotes: list[str]
    missing: list[str]
    empty: bool


def declared_names(study: Study) -> list[str]:
    """Tables that `write_declared` makes for a study, in the order of the configuration."""
    return list(study.tables)


def write_declared(
    study: Study,
    comparisons: Sequence[Path],
    tables: Path,
    figures: Path,
    remarks: Mapping[str, Sequence[str]] | None = None,
    choices: Mapping[tuple[str, str], str] | None = None,
    confusion: Sequence[Path] = (),
) -> None:
    """Write `<tables>/<name>.{csv,md,tex,notes.txt}` and `<figures>/<name>.{svg,png}` for every declared table.

    Args:
        study: the configuration.
        comparisons: COMPARISONS table of each task.
        tables: folder of the tables.
        figures: folder of the pictures.
        remarks: task -> sentences for the footnotes of tables that show it, such as those of the leak checks.
        choices: (task, model) -> a sentence about what its runs chose.
        confusion: CONFUSION table of each task, for chance levels.

    Raises:
        DataError: a COMPARISONS table is missing or of another schema.
    """
    compared = read_frame(comparisons, schema.COMPARISONS)
    levels = find_levels(read_frame(confusion, schema.CONFUSION))
    tables.mkdir(parents=True, exist_ok=True)
    figures.mkdir(parents=True, exist_ok=True)
    for name in declared_names(study):
        tidy = build_cells(study, name, compared, levels)
        grid, notes = build_grid(study, name, tidy), list_footnotes(study, name, tidy, remarks, choices)
        write_text(tables / f"{name}.csv", format_frame(tidy))
        write_text(tables / f"{name}.md", write_markdown(grid, notes))
        write_text(tables / f"{name}.tex", write_latex(grid, name, notes))
        write_text(tables / f"{name}.notes.txt", "".join(f"{note}\n" for note in notes))
        draw_table(study, name, tidy, figures)


def read_declared(study: Study, name: str, tables: Path) -> Declared:
    """Read back a table of `write_declared`.

    Args:
        study: the configuration.
        name: the table.
        tables: the folder it was written to.

    Raises:
        DataError: it is missing.
    """
    path, notes = tables / f"{name}.csv", tables / f"{name}.notes.txt"
    for file in (path, notes):
        if not file.is_file():
            raise DataError(f"{file} is missing; write the tables before the report")
    tidy = read_csv(path, COLUMNS)
    return Declared(
        name=name,
        grid=build_grid(study, name, tidy),
        footnotes=notes.read_text(encoding="utf-8").splitlines(),
        missing=list_missing(tidy),
        empty=bool(tidy["missing"].is_not_null().all()),
    )
