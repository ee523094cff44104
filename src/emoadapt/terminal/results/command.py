"""`emoadapt results`: what is printed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from emoadapt.errors import DataError
from emoadapt.reporting.exposure import print_footnotes
from emoadapt.reporting.measures import count_digits, label_metric, list_main_metrics
from emoadapt.reporting.style import interval, model_of, number, probability, subset_name
from emoadapt.reporting.tables import to_markdown
from emoadapt.storage.spreadsheets import format_frame
from emoadapt.terminal.results.against import compare_results
from emoadapt.terminal.results.changes import find_changes, list_outdated
from emoadapt.terminal.results.fitting import find_width, fit_table
from emoadapt.terminal.results.folder import PURPOSES, Results
from emoadapt.terminal.results.rows import choose_rows, sort_rows

Format = Literal["terminal", "markdown", "csv"]
SHOWN_MODELS = 12
"""Kept models that the overview lists."""

_EMPTY = dict.fromkeys(("quarantine", "quarantine_rows"), "no clip was set aside, and none has a note")
"""Table -> what it says without rows."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        table: its name; None = an overview, or the main table of a comparison.
        conditions: on its rows, as for `choose_rows`.
        sort: column or metric; None = as in the report.
        descending: largest first.
        rows: most that are shown; None = all.
        form: how it is written.
    """

    table: str | None = None
    conditions: Sequence[str] = ()
    sort: str | None = None
    descending: bool = False
    rows: int | None = None
    form: Format = "terminal"


def print_results(folder: Path, wanted: Wanted, against: Path | None = None, *, changed: bool = False) -> None:
    """Print a table, an overview, a comparison with another folder, or which runs changed.

    Raises:
        EmoadaptError: a folder holds no results, or something is asked for that it has not.
    """
    here = Results.find(folder)
    if changed:
        lines = list_outdated(here) if against is None else find_changes(here, Results.find(against)).describe()
        print("\n".join(lines or [f"The tables and scores of {here.path} are those of its runs."]))
    elif against is not None:
        _print_comparison(here, Results.find(against), wanted)
    elif wanted.table is None:
        _print_overview(here)
    else:
        _print_table(here, wanted.table, wanted)


def _print_overview(results: Results) -> None:
    """List tables, kept models and what to do with them."""
    page = results.path / "report/index.html"
    print(f"study {results.study}, {results.path}" + (f", report: {page}" if page.is_file() else "") + "\n")
    rows = [
        {
            "table": name,
            "rows": f"{results.scan(name).select(pl.len()).collect().item():,}",
            "what it shows": PURPOSES.get(
                name, "declared by the study" if results.is_declared(name) else "published values"
            ),
        }
        for name in results.tables
    ]
    print("\n".join(fit_table(pl.DataFrame(rows), find_width()).lines))
    option = "" if results.path == Path("results") else f" --results {shlex.quote(str(results.path))}"
    print(
        f"\nshow one: emoadapt results TABLE{option}   such as: emoadapt results {next(iter(results.tables))}{option}"
    )
    _print_models(results)
    for problem in list_outdated(results):
        print(f"note: {problem}")


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
    print(f"predict with one: emoadapt predict {shlex.quote(str((best or kept)[0]))} FILE ...")


def _print_table(results: Results, table: str, wanted: Wanted) -> None:
    tidy = _choose(choose_rows(results.scan(table), wanted.conditions).collect(), wanted)
    if wanted.form == "csv":
        print(format_frame(tidy), end="")
        return
    notes = results.read_notes(table)
    _print_presented(results.present(table, tidy), wanted, notes)


def _choose(tidy: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    return tidy if wanted.sort is None else sort_rows(tidy, wanted.sort, descending=wanted.descending)


def _print_presented(frame: pl.DataFrame, wanted: Wanted, notes: Sequence[str]) -> None:
    """Print a table for a person."""
    shown = frame if wanted.rows is None else frame.head(wanted.rows)
    if wanted.form == "markdown":
        print(to_markdown(shown) + print_footnotes(list(notes)), end="")
    elif frame.is_empty():
        print("no row fits --where" if wanted.conditions else _EMPTY.get(wanted.table or "", "the table has no rows"))
    else:
        fitted = fit_table(shown, find_width())
        print("\n".join(fitted.lines))
        if fitted.same:
            print("\nin all rows: " + "; ".join(f"{name} {value}" for name, value in fitted.same.items()))
        if fitted.hidden:
            print(f"\nno room for: {', '.join(fitted.hidden)}. All columns: a wider terminal, or --format markdown")
        print("".join(f"\n{note}" for note in notes), end="\n" * bool(notes))
    if len(shown) < len(frame) and wanted.form == "terminal":
        print(f"{len(frame) - len(shown)} more rows (--rows)")


def _print_comparison(here: Results, there: Results, wanted: Wanted) -> None:
    """Print the differences of a table between two folders."""
    table = wanted.table or "results"
    found = compare_results(here, there, table, wanted.conditions)
    found = found if wanted.sort is None else sort_rows(found, wanted.sort, descending=wanted.descending)
    if wanted.form == "csv":
        print(format_frame(found if wanted.rows is None else found.head(wanted.rows)), end="")
        return
    main = set(list_main_metrics())
    named = any(condition.strip().startswith("metric") for condition in wanted.conditions)
    several = table in ("results", "cross_corpus") and not named
    shown = found.filter(pl.col("metric").is_in(main)) if several else found
    notes = [
        f"here: {here.path} (study {here.study}); there: {there.path} (study {there.study}); difference: here − there, over the pairs of "
        "runs and the clips that `tested` names.",
        "interval: 95 %, 1,000 bootstrap draws of the test clips. p: paired t-test over runs, two-sided.",
    ]
    if several and len(shown) < len(found):
        others = sorted(set(found["metric"]) - main)
        notes.append(f"Other scores: --where metric={others[0]}, or --format csv ({', '.join(others)}).")
    try:
        notes += find_changes(here, there).describe()[:1]
    except DataError as error:
        notes.append(f"runs were not compared: {error}")
    marks = _mark_remarks(shown["tested"])
    notes += [f"tested {mark}: {remark}" for remark, mark in marks.items() if mark != remark]
    _print_presented(_present(shown, marks), wanted, notes)


def _mark_remarks(remarks: pl.Series) -> dict[str, str]:
    """Remark -> a letter that stands for it in a table, and for one alone itself."""
    found = remarks.unique(maintain_order=True).to_list()
    return (
        {text: text for text in found} if len(found) < 2 else {text: _name(place) for place, text in enumerate(found)}
    )


def _name(place: int) -> str:
    """`a` to `z`, `aa`, `ab` ..."""
    return (_name(place // 26 - 1) if place > 25 else "") + chr(ord("a") + place % 26)


def _present(found: pl.DataFrame, marks: Mapping[str, str]) -> pl.DataFrame:
    """Rows of `compare_results` as text.

    Args:
        found: the rows.
        marks: remark -> what stands for it.
    """
    rows = [
        {
            "task": row["task"],
            "tested on": row["test_corpus"],
            "training clips": subset_name(row["subset"]),
            "model": str(model_of(row)),
            "score": " ".join(filter(None, (label_metric(row["metric"]), row["label"]))),
            "here": number(row["here"], count_digits(row["metric"])),
            "there": number(row["there"], count_digits(row["metric"])),
            "difference": number(row["difference"], count_digits(row["metric"]), sign=True),
            "tested": marks[row["tested"]],
            "interval over test clips": interval(row["difference_low"], row["difference_high"], sign=True),
            "p over runs": probability(row["p_value"]),
        }
        for row in found.iter_rows(named=True)
    ]
    return pl.DataFrame(rows)
