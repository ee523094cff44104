"""Published values for comparison.

`papers/<paper>.csv` holds a paper's values as printed, one a line; a first line `# ...` is how the paper is cited. Columns:
`table`, `row`, `column`: where the paper prints the value.
`trained_on`, `tested_on`: corpora, compared with ours by their letters alone (`MSP-IMPROV` is `msp_improv`).
`subset`: number of training clips, or `full`.
`backbone`: the last part of the name of its weights, the architecture, or the feature that a vector reads; several with spaces
between them: the value is that of the best of these.
`objectives`: of Stage 1, as `egemaps=1 sentiment=0.5`; empty = no Stage 1. `method`: of the training on the task.
`metric`, `mean`, `std`, `stars`: the last two empty where the paper prints none.

Where text and tables of a paper disagree the table is taken; `papers/<paper>.notes.csv` says where (table, row, column, note;
without row and column the note is on the whole table).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt.config import Study
from emoadapt.config.papers import find_paper
from emoadapt.errors import DataError
from emoadapt.study.nodes import ORIGINAL, Model

_NUMBERS = {"mean": pl.Float64, "std": pl.Float64}
COLUMNS = {
    **dict.fromkeys(("table", "row", "column", "trained_on", "tested_on", "subset"), pl.String),
    **dict.fromkeys(("backbone", "objectives", "method", "metric"), pl.String),
    **_NUMBERS,
    "stars": pl.String,
}
"""Columns of a paper's values."""
NOTE_COLUMNS = dict.fromkeys(("table", "row", "column", "note"), pl.String)


@dataclass(frozen=True)
class PaperValue:
    """A value as a paper prints it: which of its tables, row and column, mean, standard deviation where there is one, stars."""

    table: str
    row: str
    column: str
    mean: float
    std: float | None
    stars: str | None


def read_paper(name: str) -> pl.DataFrame:
    """Values of a paper, with `COLUMNS`.

    Raises:
        DataError: its file lacks a column.
    """
    return _read(find_paper(name)[0], COLUMNS)


def read_paper_notes(name: str) -> pl.DataFrame:
    """Where a paper disagrees with itself, with `NOTE_COLUMNS`; empty if nothing is known of that."""
    _, *notes = find_paper(name)
    return _read(notes[0], NOTE_COLUMNS) if notes else pl.DataFrame(schema=NOTE_COLUMNS)


def cite_paper(name: str) -> str:
    """How a paper is cited; its name if its file does not say."""
    with find_paper(name)[0].open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else name


def find_paper_value(
    study: Study, task: str, test_corpus: str, model: Model, subset: str, metric: str
) -> tuple[float, float | None] | None:
    """Mean and standard deviation that the study's paper prints for a setting, None where it prints nothing.

    A setting matches by what it is, not by what it is called: the corpora (by name), the pretrained weights (never an untrained
    backbone), the objectives with their weights, the method, the training clips.
    """
    found = find_in_tables(study, None, task, test_corpus, [model], subset, metric)
    return None if found is None else (found.mean, found.std)


def find_in_tables(
    study: Study,
    tables: Sequence[str] | None,
    task: str,
    test_corpus: str,
    models: Sequence[Model],
    subset: str,
    metric: str,
) -> PaperValue | None:
    """What the study's paper prints for a setting in one of its tables, the first that has it; None where none has.

    Args:
        study: the configuration; `report.paper` names the paper.
        tables: the paper's tables to look into, in this order; None = all, in the order of its file.
        task: name of the task.
        test_corpus: corpus tested on.
        models: the setting's model; several = the best of these.
        subset: training clips.
        metric: ours.
    """
    if study.report.paper is None:
        return None
    rows = _index(find_paper(study.report.paper)[0])
    place = (_spell(study.tasks[task].corpus), _spell(test_corpus), subset, metric)
    found = [row for row in rows.get(place, []) if _fits(study, row, models)]
    for table in tables if tables is not None else [row["table"] for row in found]:
        for row in found:
            if row["table"] == table:
                return PaperValue(*(row[name] for name in ("table", "row", "column", "mean", "std", "stars")))
    return None


def _read(path: Path, columns: dict[str, Any]) -> pl.DataFrame:
    frame = pl.read_csv(path, comment_prefix="#", schema_overrides=columns)
    if missing := [name for name in columns if name not in frame.columns]:
        raise DataError(f"{path}: columns {', '.join(missing)} are missing; see docs/add-a-paper.md")
    return frame.select(list(columns))


@cache
def _index(path: Path) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """(trained on, tested on, subset, metric) -> rows of a paper."""
    index: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in _read(path, COLUMNS).iter_rows(named=True):
        place = (_spell(row["trained_on"]), _spell(row["tested_on"]), row["subset"], row["metric"])
        index.setdefault(place, []).append(row)
    return index


def _spell(corpus: str) -> str:
    """Letters of a corpus's name."""
    return re.sub(r"[^a-z]", "", corpus.lower())


def _fits(study: Study, row: dict[str, Any], models: Sequence[Model]) -> bool:
    """Whether a row is of these models: of one model, or of the best of several."""
    backbones = set(row["backbone"].split())
    if (len(backbones) > 1) != (len(models) > 1):
        return False
    wanted = dict(part.split("=") for part in (row["objectives"] or "").split())
    objectives = {name: float(weight) for name, weight in wanted.items()}
    return all(
        bool(_list_names(study, model.backbone) & backbones)
        and _list_objectives(study, model.start) == objectives
        and study.finetunings[model.finetuning].method == row["method"]
        for model in models
    )


def _list_names(study: Study, backbone: str) -> set[str]:
    """What a paper may call a backbone; nothing if it is untrained."""
    config = study.backbones[backbone]
    if config.provenance == "descriptors":
        return set(config.features)
    weights = {name.rstrip("/").rsplit("/", 1)[-1] for name, _ in config.list_weights()}
    return {*weights, config.architecture} if weights else set()


def _list_objectives(study: Study, start: str) -> dict[str, float] | None:
    """Weights of a start's objectives; empty for the original, None where it is unknown."""
    if start == ORIGINAL:
        return {}
    return dict(study.adaptations[start].objectives) if start in study.adaptations else None
