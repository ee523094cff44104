"""Published values for comparison.

`papers/<paper>.csv` holds a paper's values as printed, one a line; a first line `# ...` is how the paper is cited. Columns:
`table`, `row`, `column`: where the paper prints the value.
`trained_on`, `tested_on`: corpora, compared with ours by their letters alone (`MSP-IMPROV` is `msp_improv`). `MSP-Podcast (training
part)`: scores of a teacher on its training clips, shown in the table `teaching`.
`subset`: number of training clips, or `full`. `classes`: their number; empty = not compared, as for attributes.
`backbone`: the last part of the name of its weights, the architecture, or the feature that a vector reads; `a+b`: one backbone of
both; `untrained+<architecture>`: one without weights. Several with spaces between them: the value is that of the best of these.
`objectives`: of Stage 1, as `egemaps=1 sentiment=0.5`; empty = no Stage 1. `method`: of the training on the task.
`settings`: keys of the study that the value depends on besides, as YAML: `{backbone: {train_layers: 6}}`; see `SCOPES`.
`metric`, `mean`, `std`, `stars`: the last two empty where the paper prints none. Percentages are divided by 100.

A row without backbone and method is another work's: it is listed, and never stands beside a value of ours. The columns `classes` and
`settings` may be missing. Where text and tables of a paper disagree the table is taken; `papers/<paper>.notes.csv` says where (table,
row, column, note; without row and column the note is on the whole table).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from emoadapt.config import Study
from emoadapt.config.base import Section
from emoadapt.config.papers import find_paper
from emoadapt.errors import DataError
from emoadapt.study.nodes import ORIGINAL, Model

_NUMBERS = {"mean": pl.Float64, "std": pl.Float64}
COLUMNS = {
    **dict.fromkeys(("table", "row", "column", "trained_on", "tested_on", "subset"), pl.String),
    "classes": pl.Int64,
    **dict.fromkeys(("backbone", "objectives", "method", "settings", "metric"), pl.String),
    **_NUMBERS,
    "stars": pl.String,
}
"""Columns of a paper's values."""
OPTIONAL = ("classes", "settings")
"""Columns that a file may lack."""
SCOPES = ("features", "backbone", "adaptation", "finetuning")
"""What `settings` may name keys of: the study's `features`, and the three sections of a model. `backbone`: of a fusion each of its parts."""
UNTRAINED = "untrained"
TRAINING_PART = "(training part)"
"""What stands behind the corpus in `tested_on` where a paper scores a model on its own training clips."""
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
    """Notes on a paper's tables, such as where it disagrees with itself: `NOTE_COLUMNS`, or no row."""
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

    A setting matches by what it is, not by what it is called: the corpora (by name), the number of classes, the pretrained weights
    (an untrained backbone only where the paper's is), the objectives with their weights, the method, the training clips, and what else
    the paper's file names.
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

    Of several rows of a table, the one with the most `settings` is taken.

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
    found = [row for row in rows.get(place, []) if _asks(study, task, row) and _fits(study, row, models)]
    for table in tables if tables is not None else [row["table"] for row in found]:
        if fitting := [row for row in found if row["table"] == table]:
            row = max(fitting, key=lambda row: sum(map(len, row["settings"].values())))
            return PaperValue(*(row[name] for name in ("table", "row", "column", "mean", "std", "stars")))
    return None


def list_other_works(study: Study, tables: Sequence[str], task: str, test_corpus: str, metric: str) -> list[PaperValue]:
    """Values in the paper's tables of systems that no study runs; arguments as those of `find_in_tables`."""
    if study.report.paper is None:
        return []
    place = (_spell(study.tasks[task].corpus), _spell(test_corpus), metric)
    return [
        PaperValue(*(row[name] for name in ("table", "row", "column", "mean", "std", "stars")))
        for row in read_paper(study.report.paper).iter_rows(named=True)
        if row["method"] is None
        and row["table"] in tables
        and (_spell(row["trained_on"]), _spell(row["tested_on"]), row["metric"]) == place
        and _asks(study, task, row)
    ]


def _read(path: Path, columns: dict[str, Any]) -> pl.DataFrame:
    frame = pl.read_csv(path, comment_prefix="#", schema_overrides=columns)
    if missing := [name for name in columns if name not in (*frame.columns, *OPTIONAL)]:
        raise DataError(f"{path}: columns {', '.join(missing)} are missing; see docs/add-a-paper.md")
    absent = [pl.lit(None, columns[name]).alias(name) for name in columns if name not in frame.columns]
    return frame.with_columns(absent).select(list(columns))


@cache
def _index(path: Path) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """(trained on, tested on, subset, metric) -> rows of a paper that a model of ours may have, their `settings` read.

    Raises:
        DataError: the settings of a row are none.
    """
    index: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in _read(path, COLUMNS).drop_nulls("method").iter_rows(named=True):
        row["settings"] = read_settings(path, row["settings"])
        place = (_spell(row["trained_on"]), _spell(row["tested_on"]), row["subset"], row["metric"])
        index.setdefault(place, []).append(row)
    return index


def read_settings(path: Path, text: str | None) -> dict[str, dict[str, Any]]:
    """Settings of a row: scope -> key -> value.

    Raises:
        DataError: it is no such mapping.
    """
    try:
        found = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or any(key not in SCOPES or not isinstance(found[key], dict) for key in found):
        example = "{finetuning: {epochs: 20}}"
        raise DataError(f"{path}: settings {text!r} are not of {', '.join(SCOPES)}; write them like {example}")
    return found


def _spell(corpus: str | None) -> str:
    """Letters of a corpus's name."""
    return re.sub(r"[^a-z]", "", (corpus or "").lower())


def _asks(study: Study, task: str, row: dict[str, Any]) -> bool:
    """Whether a task has as many classes as a row's."""
    return row["classes"] is None or row["classes"] == len(study.tasks[task].classes)


def _fits(study: Study, row: dict[str, Any], models: Sequence[Model]) -> bool:
    """Whether a row is of these models: of one model, or of the best of several."""
    backbones = set(row["backbone"].split())
    if (len(backbones) > 1) != (len(models) > 1):
        return False
    wanted = dict(part.split("=") for part in (row["objectives"] or "").split())
    objectives = {name: float(weight) for name, weight in wanted.items()}
    return all(
        any(_is_called(study, model.backbone, set(name.split("+"))) for name in backbones)
        and _list_objectives(study, model.start) == objectives
        and study.finetunings[model.finetuning].method == row["method"]
        and all(
            _agrees(section, wanted)
            for scope, wanted in row["settings"].items()
            for section in _find_sections(study, model, scope)
        )
        for model in models
    )


def _is_called(study: Study, backbone: str, parts: set[str]) -> bool:
    """Whether the parts of a paper's name are a backbone's: all of its weights or its architecture, or features."""
    config = study.backbones[backbone]
    if config.provenance == "descriptors":
        return parts <= set(config.features)
    weights = {name.rstrip("/").rsplit("/", 1)[-1] for name, _ in config.list_weights()} or {UNTRAINED}
    vectors = [part for part in config.parts.values() if part.provenance == "descriptors"]
    if not parts.issuperset(feature for part in vectors for feature in part.features):
        return False
    named = weights <= parts or (config.architecture in parts and UNTRAINED not in weights)
    return named and parts <= {*weights, config.architecture, *config.features}


def _find_sections(study: Study, model: Model, scope: str) -> list[Section | None]:
    """Sections that a scope names: of a backbone that joins others, those of its parts; None for the adaptation of an original."""
    backbone = study.backbones[model.backbone]
    sections: dict[str, list[Section | None]] = {
        "features": [study.features],
        "backbone": [backbone] if backbone.layered else [*backbone.parts.values()],
        "adaptation": [study.adaptations.get(model.start)],
        "finetuning": [study.finetunings[model.finetuning]],
    }
    return sections[scope]


def _agrees(found: Any, wanted: Any) -> bool:
    """Whether a section has the wanted values of these keys; whether any other value is the wanted one."""
    if isinstance(found, Section) and isinstance(wanted, dict):
        return all(hasattr(found, key) and _agrees(getattr(found, key), value) for key, value in wanted.items())
    return (list(found) if isinstance(found, tuple) else found) == wanted


def _list_objectives(study: Study, start: str) -> dict[str, float] | None:
    """Weights of a start's objectives; empty for the original, None where it is unknown."""
    if start == ORIGINAL:
        return {}
    return dict(study.adaptations[start].objectives) if start in study.adaptations else None
