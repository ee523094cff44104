"""`emoadapt results` without a table: the main scores, the other tables, the kept models."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl

from emoadapt.machine.programs import name_program
from emoadapt.reporting.measures import count_digits, label_metric, list_main_metrics
from emoadapt.reporting.style import interval, label_model, model_of, name_place, number, spread, subset_name
from emoadapt.terminal.results.changes import list_outdated
from emoadapt.terminal.results.fitting import find_width, fit_table
from emoadapt.terminal.results.folder import PURPOSES, Results

SHOWN_MODELS = 12
"""Kept models that the overview lists."""
SHOWN_SCORES = 24
"""Rows of the main scores that it shows."""


def print_overview(results: Results) -> None:
    """Print the main scores, then list the other tables, the kept models and what to do with them.

    Raises:
        DataError: a table is damaged.
    """
    page = results.path / "report/index.html"
    print(f"study {results.study}, {results.path}" + (f", report: {page}" if page.is_file() else "") + "\n")
    option = "" if results.path == Path("results") else f" --results {shlex.quote(str(results.path))}"
    _print_scores(results, option)
    _print_tables(results, option)
    _print_models(results)
    for problem in list_outdated(results):
        print(f"note: {problem}")


def _print_scores(results: Results, option: str) -> None:
    """The main score of every model, on the corpus of its task."""
    scores = _read_scores(results)
    if scores.is_empty():
        print("no scores: this study has trained no classifier yet\n")
        return
    fitted = fit_table(scores.head(SHOWN_SCORES), find_width(), kept=4)
    print("\n".join(fitted.lines))
    if fitted.same:
        print("\nin all rows: " + "; ".join(f"{name} {value}" for name, value in fitted.same.items()))
    if scores.height > SHOWN_SCORES:
        print(f"{scores.height - SHOWN_SCORES} more rows: emoadapt results results{option}")
    print()


def _read_scores(results: Results) -> pl.DataFrame:
    """Text columns: system, score with its interval, test clips, chance; as the table `results` has them."""
    if "results" not in results.tables:
        return pl.DataFrame()
    tidy = results.scan("results").filter(pl.col("metric").is_in(list_main_metrics())).collect()
    try:
        return pl.DataFrame(
            [
                {
                    "task": name_place(row),
                    "training clips": subset_name(row["subset"]),
                    "system": label_model(model_of(row), row["weights"]),
                    "score": spread(row["mean"], row["std"], count_digits(row["metric"])),
                    "interval over test clips": interval(row["low"], row["high"]),
                    "chance": number(row.get("chance"), count_digits(row["metric"])),
                    "n test": f"{row['n']:,}",
                    "runs": str(row["n_runs"]),
                    "metric": label_metric(row["metric"]),
                    "weights": row["weights"],
                }
                for row in tidy.iter_rows(named=True)
            ]
        )
    except KeyError as error:
        raise results.explain_lacking("results", f"no column {error}") from None


def _print_tables(results: Results, option: str) -> None:
    """Every table that has rows."""
    sizes = {name: results.scan(name).select(pl.len()).collect().item() for name in results.tables}
    rows = [
        {"table": name, "rows": f"{size:,}", "what it shows": _describe_table(results, name)}
        for name, size in sizes.items()
        if size
    ]
    if not rows:
        return
    print("\n".join(fit_table(pl.DataFrame(rows), find_width()).lines))
    print(f"\nshow one: emoadapt results TABLE{option}   such as: emoadapt results {rows[0]['table']}{option}")


def _describe_table(results: Results, name: str) -> str:
    other = "declared by the study" if results.is_declared(name) else "published values"
    return PURPOSES.get(name, other)


def _print_models(results: Results) -> None:
    """Say where models lie, and the command that uses them."""
    adapted, kept = results.list_adapted_models(), list(results.list_kept_models())
    if adapted:
        print(f"\nStage-1 models: {', '.join(map(str, adapted))}")
    if not kept:
        print(
            "\nclassifiers: none is kept; `keep_models: best` keeps those that emoadapt predict can use (not those with `normalise: corpus` or "
            "`speaker`)"
        )
        return
    print(f"\nclassifiers ({len(kept)}):")
    print("\n".join(f"  {path}" for path in kept[:SHOWN_MODELS]))
    if len(kept) > SHOWN_MODELS:
        print(f"  and {len(kept) - SHOWN_MODELS} more below {results.path}/runs and {results.path}/refits")
    best = results.list_best_models()
    if best:
        print(f"the best of each task: {', '.join(map(str, best))}")
    print(f"predict with one: {name_program('emoadapt')} predict {shlex.quote(str((best or kept)[0]))} FILE ...")
