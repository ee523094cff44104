"""Tidy form of a declared table, with one row per cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from emoadapt.config import Study, TableConfig
from emoadapt.evaluation.chance import COLUMNS as LEVELS
from emoadapt.reporting.levels import add_chance
from emoadapt.reporting.measures import is_lower_better
from emoadapt.reporting.reference import find_in_tables
from emoadapt.reporting.style import describe_labels, describe_split, star, weights_of
from emoadapt.study.nodes import Model
from emoadapt.study.tables import Against, Cell, list_cells

Row = dict[str, Any]
NOT_COMPUTED = "not computed yet"

_TEXT, _NUMBER, _COUNT = pl.String, pl.Float64, pl.Int64
COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("table", "part", "task", "test_corpus", "subset", *Model._fields, "entry", "candidates"), _TEXT),
    "metric": _TEXT,
    **dict.fromkeys(("mean", "std", "low", "high"), _NUMBER),
    **dict.fromkeys(("n_runs", "n"), _COUNT),
    **dict.fromkeys(("baselines", "baseline"), _TEXT),
    "n_pairs": _COUNT,
    **dict.fromkeys(("difference", "difference_low", "difference_high", "p_value"), _NUMBER),
    **dict.fromkeys(("stars", "weights", "split", "labels", "paper_table", "paper_row", "paper_column"), _TEXT),
    **dict.fromkeys(("paper_mean", "paper_std"), _NUMBER),
    "paper_stars": _TEXT,
    "missing": _TEXT,
    "chance": _NUMBER,
}
"""Columns of a declared table's CSV.

`part`: number of the table's part. `entry`: name of a best_of entry, `candidates`: its models with their means; `backbone`,
`start` and `finetuning` are the one that was picked. `baselines`: all that the cell is tested against; `baseline`: the one that `difference` and `p_value` belong to.
`missing`: why there is no value. `chance`: what needs no learning, on the same test clips.
"""


class Lookup:
    """COMPARISONS rows by setting, metric and baseline."""

    def __init__(self, comparisons: pl.DataFrame) -> None:
        """Index the rows.

        Args:
            comparisons: COMPARISONS tables of all tasks, one after the other.
        """
        self.values: dict[tuple[Any, ...], Row] = {}
        self.tests: dict[tuple[Any, ...], Row] = {}
        keys = ("task", "test_corpus", "subset", "metric", *Model._fields)
        for row in comparisons.iter_rows(named=True):
            setting = tuple(row[key] for key in keys)
            self.values[setting] = row
            self.tests[(*setting, row["baseline_backbone"], row["baseline"], row["baseline_finetuning"])] = row

    def value(self, cell: Cell, metric: str, model: Model) -> Row | None:
        """Mean, spread and interval of a model in a cell's setting; None where there is none."""
        return self.values.get((cell.task, cell.corpus, cell.subset, metric, *model))

    def test(self, cell: Cell, metric: str, model: Model, baseline: Model) -> Row | None:
        """Its comparison with a baseline."""
        return self.tests.get((cell.task, cell.corpus, cell.subset, metric, *model, *baseline))


def build_cells(study: Study, name: str, comparisons: pl.DataFrame, levels: pl.DataFrame | None = None) -> pl.DataFrame:
    """Every cell of a declared table, with what a reader needs to judge it.

    Args:
        study: the configuration.
        name: a table of `study.tables`.
        comparisons: COMPARISONS tables of all tasks, one after the other.
        levels: chance levels, as from `find_levels`; None: not known for classes.

    Returns:
        A frame of `COLUMNS`, in the order of the configuration.
    """
    table, lookup = study.tables[name], Lookup(comparisons)
    rows = [{"table": name, **_fill_cell(study, table, cell, lookup)} for cell in list_cells(study, table)]
    frame = pl.DataFrame(rows, schema=COLUMNS).drop("chance")
    return add_chance(frame, pl.DataFrame(schema=LEVELS) if levels is None else levels).select(COLUMNS.keys())


def _fill_cell(study: Study, table: TableConfig, cell: Cell, lookup: Lookup) -> Row:
    place = {
        "part": str(cell.part),
        "task": cell.task,
        "test_corpus": cell.corpus,
        "subset": cell.subset,
        "metric": table.metric,
    }
    found = {model: row for model in cell.models if (row := lookup.value(cell, table.metric, model))}
    if cell.missing or not found:
        single = cell.models[0]._asdict() if cell.label is None else {}
        return {
            **place,
            **single,
            "entry": cell.label,
            "missing": cell.missing or NOT_COMPUTED,
        }
    model = pick_best({m: row["mean"] for m, row in found.items()}, is_lower_better(table.metric))
    own = found[model]
    paper = find_in_tables(study, table.paper or (), cell.task, cell.corpus, cell.models, cell.subset, table.metric)
    return {
        **place,
        **model._asdict(),
        "entry": cell.label,
        "candidates": None if cell.label is None else _list_means(found),
        **{key: own[key] for key in ("mean", "std", "low", "high", "n_runs", "n")},
        **_judge(table, cell, lookup, model),
        "weights": weights_of(study, model.backbone),
        "split": describe_split(study, cell.task),
        "labels": describe_labels(study, cell.corpus),
        **(
            {f"paper_{key}": getattr(paper, key) for key in ("table", "row", "column", "mean", "std", "stars")}
            if paper
            else {}
        ),
    }


def pick_best(means: Mapping[Model, float], lower: bool) -> Model:
    """The model with the best mean; the first of those that are alike."""
    return (min if lower else max)(means, key=lambda model: means[model])


def _list_means(found: Mapping[Model, Row]) -> str:
    return "; ".join(f"{model} {row['mean']:.4f}" for model, row in found.items())


def _judge(table: TableConfig, cell: Cell, lookup: Lookup, model: Model) -> Row:
    """Difference from the baseline, its interval and p-value, and the stars."""
    if cell.against is None:
        return {}
    baseline = _choose_baseline(table, cell, cell.against, lookup, model)
    test = lookup.test(cell, table.metric, model, baseline) if baseline else None
    if baseline is None or test is None:
        return {"baselines": _join(cell.against.models)}
    split = _is_split(table, cell, lookup, model)
    stars = "" if split else mark(test["p_value"], test["difference"], is_lower_better(table.metric))
    return {
        "baselines": _join(cell.against.models),
        "baseline": str(baseline),
        **{key: test[key] for key in ("n_pairs", "difference", "difference_low", "difference_high", "p_value")},
        "stars": stars,
    }


def _is_split(table: TableConfig, cell: Cell, lookup: Lookup, model: Model) -> bool:
    """Whether a model is better than one of the baselines that it must all beat and worse than another: no star then, whatever p."""
    if cell.against is None or cell.against.rule != "each":
        return False
    tests = [lookup.test(cell, table.metric, model, baseline) for baseline in cell.against.models]
    differences = [test["difference"] for test in tests if test and test["difference"] is not None]
    return min(differences, default=0.0) < 0 < max(differences, default=0.0)


def _choose_baseline(table: TableConfig, cell: Cell, against: Against, lookup: Lookup, model: Model) -> Model | None:
    """The one baseline whose test stands for the cell.

    Of several of which each must be beaten that is the one with the largest p-value; one whose test knows no p-value
    (a single run) counts as the largest.
    """
    if against.rule == "one":
        return against.models[0]
    if against.rule == "best":
        means = {m: row["mean"] for m in against.models if (row := lookup.value(cell, table.metric, m))}
        return pick_best(means, is_lower_better(table.metric)) if means else None
    tests = {m: lookup.test(cell, table.metric, model, m) for m in against.models}
    if any(test is None for test in tests.values()):
        return None
    p_values = {m: 1.1 if test["p_value"] is None else test["p_value"] for m, test in tests.items() if test}
    return max(p_values, key=lambda m: p_values[m])


def mark(p_value: float | None, difference: float | None, lower_is_better: bool) -> str:
    """`*` (p < .05) or `**` (p < .01) for a better value, daggers in their place for a worse one."""
    stars = star(p_value)
    worse = difference is not None and (difference > 0 if lower_is_better else difference < 0)
    return stars.replace("*", "†") if worse else stars


def _join(models: Iterable[Model]) -> str:
    return "; ".join(map(str, models))


def list_missing(tidy: pl.DataFrame) -> list[str]:
    """Reasons why cells have no value, each once."""
    return tidy["missing"].drop_nulls().unique(maintain_order=True).to_list()


def models_of(tidy: pl.DataFrame) -> Sequence[Model]:
    """Models that stand in a table, each once."""
    rows = tidy.filter(pl.col("missing").is_null()).select(Model._fields).unique(maintain_order=True).rows()
    return [Model(*row) for row in rows]
