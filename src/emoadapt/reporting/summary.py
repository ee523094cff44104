"""Sentences about the comparisons of adapted models with their originals."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from emoadapt.config import Study
from emoadapt.reporting.measures import label_metric, list_main_metrics
from emoadapt.reporting.style import (
    interval,
    is_one_tailed,
    listing,
    model_key,
    model_of,
    name_model,
    name_place,
    number,
    probability,
    subset_key,
    subset_name,
    vary_runs,
)
from emoadapt.study.nodes import ORIGINAL, Model

Row = dict[str, Any]

SIGNIFICANCE = 0.05
"""p-value below which runs are taken to differ."""
NAMED = 3
"""Models of one kind that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Ledger:
    """Differences to the original: columns are adapted models, rows are settings; a cell is None where there is none."""

    models: list[str]
    rows: list[tuple[str, list[dict[str, str] | None]]]


@dataclass(frozen=True)
class Summary:
    """What the adaptation bought, in words made from numbers.

    Args:
        headline: the result in one sentence.
        by_size: one sentence per task, test corpus and number of training clips.
        best: the best model of each task, beside the baseline of the report.
        details: every comparison of an adapted model with its original in full.
        ledger: the comparisons as a grid, models across and settings down; empty without comparisons.
        metrics: names of the scores that are compared.
    """

    headline: str
    by_size: list[str]
    best: list[str]
    details: list[str]
    ledger: Ledger
    metrics: str = ""


def summarise_results(study: Study, results: pl.DataFrame, cross_corpus: pl.DataFrame) -> Summary:
    """Summarise adapted models against their originals, by task and training clips.

    Args:
        study: the configuration.
        results: the tidy table `results`.
        cross_corpus: the tidy table `cross_corpus`.
    """
    rows = [
        row
        for frame in (results, cross_corpus)
        for row in frame.filter(pl.col("metric").is_in(list_main_metrics())).iter_rows(named=True)
    ]
    compared = [row for row in rows if row["difference"] is not None]
    best = [
        sentence
        for task in study.tasks
        for sentence in _describe_best(study, task, [r for r in rows if r["task"] == task])
    ]
    if not compared:
        headline = "No adapted model was compared with an original, so this report shows no effect of adaptation."
        if any(row.get("reference_difference") is not None and row["start"] != ORIGINAL for row in rows):
            baseline = name_model(study, Model.parse(str(study.report.baseline)))
            headline = (
                f"No adapted model was compared with its own original. The tables compare all models with {baseline}: a difference from "
                "another model is not the effect of adaptation alone."
            )
        if not study.tasks:
            headline = (
                "This study adapts speech models to unlabelled clips, and trains no classifier."
                if study.adaptations and study.backbones
                else "This study extracts features, and trains nothing."
            )
        if best and not study.adaptations:
            headline, *best = best
        return Summary(headline, [], best, [], Ledger([], []))
    tasks = list(study.tasks)
    compared.sort(
        key=lambda r: (
            tasks.index(r["task"]),
            r["test_corpus"] != r["corpus"],
            r["test_corpus"],
            subset_key(r["subset"]),
            model_key(study, model_of(r)),
        )
    )
    kept = keep_by_holm([row["p_value"] for row in compared])
    compared = [{**row, "holds": keep} for row, keep in zip(compared, kept, strict=True)]
    groups = [
        list(group) for _, group in itertools.groupby(compared, lambda r: (r["task"], r["test_corpus"], r["subset"]))
    ]
    return Summary(
        _count_verdicts(study, compared),
        [_describe_group(study, group) for group in groups] if len(compared) > 1 else [],
        best,
        [describe_difference(study, row) for row in compared] if len(compared) > 1 else [],
        _build_ledger(study, compared, groups) if len(compared) > 1 else Ledger([], []),
        _name_metrics(compared),
    )


def verdict(row: Row) -> int:
    """1: better than the baseline; -1: worse; 0: no difference that would hold for other clips and for other runs.

    The bootstrap interval knows nothing of other seeds or partitions and the test over runs nothing of other test clips; either
    alone calls chance an effect, so that both must agree.
    """
    return _lean(row) if row["p_value"] is not None and row["p_value"] < SIGNIFICANCE else 0


def _lean(row: Row) -> int:
    """Sign of the difference where its interval over test clips leaves out 0."""
    return 1 if row["difference_low"] > 0 else -1 if row["difference_high"] < 0 else 0


def _count_verdicts(study: Study, rows: list[Row]) -> str:
    if len(rows) == 1:
        return describe_difference(study, rows[0])
    better, worse = (sum(verdict(row) == sign for row in rows) for sign in (1, -1))
    open_ = len(rows) - better - worse
    others = listing(sorted({vary_runs(study, row["task"]) for row in rows}, reverse=True))
    chance = len(rows) * min(1 - study.report.confidence, SIGNIFICANCE)
    text = (
        f"Of {len(rows)} comparisons of an adapted model with its original ({_name_metrics(rows)}), {better or 'none'} "
        f"{'are' if better > 1 else 'is'} better, {worse or 'none'} worse, and {open_} show{'s' if open_ == 1 else ''} no difference "
        f"that holds both for other test clips ({100 * study.report.confidence:g} % interval without 0) and for other {others} "
        f"({'one-tailed ' if is_one_tailed(study) else ''}p < {str(SIGNIFICANCE)[1:]}, uncorrected). By chance alone up to {chance:.2g} of them would look different."
    )
    if not (found := better + worse):
        return text
    left = sum(bool(verdict(row)) and row["holds"] for row in rows)
    remain = (
        "no difference remains"
        if not left
        else f"{'the difference' if found == 1 else 'all of them' if left == found else f'{left} of the {found} differences'} "
        f"remain{'s' if left == 1 else ''}"
    )
    return f"{text} After Holm's correction of the p-values for their number, {remain}."


def _name_metrics(rows: list[Row]) -> str:
    return " or ".join(dict.fromkeys(label_metric(row["metric"]) for row in rows))


def keep_by_holm(p_values: Sequence[float | None]) -> list[bool]:
    """Which p-values stay below .05 with the step-down correction of Holm (1979); a comparison without one does not count."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    kept = [False] * len(p_values)
    for rank, (p, place) in enumerate(known):
        if p * (len(known) - rank) >= SIGNIFICANCE:
            break
        kept[place] = True
    return kept


def _describe_group(study: Study, rows: list[Row]) -> str:
    """All comparisons on one test set with one number of training clips: gains, losses, and the rest as such."""
    first = rows[0]
    by_verdict = {sign: [row for row in rows if verdict(row) == sign] for sign in (1, -1, 0)}
    parts = []
    for sign, label in ((1, "better than the original"), (-1, "worse")):
        found = sorted(by_verdict[sign], key=lambda row: -abs(row["difference"]))
        for holds, bound in ((True, ""), (False, ", but only before Holm's correction")):
            if chosen := [row for row in found if row["holds"] is holds]:
                parts.append(f"{label}{bound}: {_list_facts(study, chosen)}")
    if open_ := by_verdict[0]:
        alone = len(open_) == len(rows)
        label = "no difference is shown" if alone else "not shown to differ"
        if len(open_) <= NAMED:
            parts.append(f"{label} (n.s.): {_list_facts(study, open_)}")
        else:
            low, high = (number(f(row["difference"] for row in open_), sign=True) for f in (min, max))
            parts.append(
                f"{label} (n.s.): {len(open_)} model{'s' if len(open_) > 1 else ''}, differences {low} to {high}"
            )
    return f"{name_place(first)}, {subset_name(first['subset'])}: {'; '.join(parts)}."


def _list_facts(study: Study, rows: list[Row]) -> str:
    shown = [
        f"{name_model(study, model_of(row))} {number(row['difference'], sign=True)} "
        f"{interval(row['difference_low'], row['difference_high'], sign=True)}, {_name_p(row)}"
        for row in rows[:NAMED]
    ]
    return " · ".join(shown) + (f" · and {len(rows) - NAMED} more" if len(rows) > NAMED else "")


def _name_p(row: Row) -> str:
    p_value = row["p_value"]
    if p_value is None:
        return "one run, no p" if row["n_pairs"] == 1 else "no p"
    return f"p {'' if p_value < 0.001 else '= '}{probability(p_value)}"


VERDICTS = {1: "better", -1: "worse", 0: "n.s."}
"""What a cell of the ledger says; `n.s.` also where one run allows no test."""


def _build_ledger(study: Study, compared: list[Row], groups: list[list[Row]]) -> Ledger:
    models = list(dict.fromkeys(model_of(row) for row in compared))
    models.sort(key=lambda model: model_key(study, model))
    rows: list[tuple[str, list[dict[str, str] | None]]] = []
    for group in groups:
        first, cells = group[0], {model_of(row): row for row in group}
        rows.append(
            (
                f"{name_place(first)}, {subset_name(first['subset'])}",
                [None if model not in cells else _fill_cell(cells[model]) for model in models],
            )
        )
    return Ledger([name_model(study, model) for model in models], rows)


def _fill_cell(row: Row) -> dict[str, str]:
    return {
        "difference": number(row["difference"], sign=True),
        "interval": interval(row["difference_low"], row["difference_high"], sign=True),
        "p": _name_p(row) + (", not after Holm's correction" if verdict(row) and not row["holds"] else ""),
        "verdict": VERDICTS[verdict(row)],
    }


def describe_difference(study: Study, row: Row) -> str:
    """One comparison with its baseline in words; `holds` tells whether it remains after Holm's correction."""
    place = row["task"] if row["test_corpus"] == row["corpus"] else f"{row['test_corpus']} (trained on {row['corpus']})"
    where = f"on {place} with {subset_name(row['subset'])}"
    model, others = name_model(study, model_of(row)), vary_runs(study, row["task"])
    bounds = interval(row["difference_low"], row["difference_high"], sign=True)[1:-1].replace(", ", " to ")
    p_value, pairs = row["p_value"], row["n_pairs"]
    over = f"over {pairs} paired runs" if pairs > 1 else "with one run each"
    p_text = "no p-value" if p_value is None else f"p {'' if p_value < 0.001 else '= '}{probability(p_value)}"
    facts = f"{100 * study.report.confidence:g} % interval over test clips {bounds}; {p_text} {over}"
    if verdict(row):
        left = (
            ""
            if row["holds"]
            else " After Holm's correction for the number of comparisons, this difference does not remain."
        )
        verb = "beats" if verdict(row) > 0 else "is worse than"
        return f"{model} {verb} original by {number(abs(row['difference']))} {label_metric(row['metric'])} {where} ({facts}).{left}"
    doubt = ""
    if _lean(row) and p_value is None:
        doubt = f" The interval leaves out 0, but one run says nothing about other {others}."
    elif _lean(row):
        doubt = f" The interval leaves out 0 for these very runs, but the test over {others} does not confirm it."
    elif p_value is not None and p_value < SIGNIFICANCE:
        doubt = " The runs agree with each other, but other test clips might not: the interval includes 0."
    difference = number(row["difference"], sign=True)
    return f"No difference is shown between {model} and its original {where} ({difference}; {facts}).{doubt}"


def _describe_best(study: Study, task: str, rows: list[Row]) -> list[str]:
    """The best model at the largest training set on each corpus that the task's table is about, beside the baseline of the report."""
    parts = ([row for row in rows if row["test_corpus"] == corpus] for corpus in study.tasks[task].first_tested)
    return [_describe_best_of(study, part) for part in parts if part]


def _describe_best_of(study: Study, rows: list[Row]) -> str:
    largest = max((row["subset"] for row in rows), key=subset_key)
    rows = [row for row in rows if row["subset"] == largest]
    best = max(rows, key=lambda row: row["mean"])
    text = (
        f"The highest {label_metric(best['metric'])} on {name_place(best)} with {subset_name(largest)} is {number(best['mean'])} "
        f"{interval(best['low'], best['high'])} ({name_model(study, model_of(best))}, n = {best['n']:,}"
        + ("" if best.get("chance") is None else f"; chance {number(best['chance'])}")
    )
    baseline = [row for row in rows if str(model_of(row)) == study.report.baseline]
    if baseline and best not in baseline:
        return (
            f"{text}); the baseline {name_model(study, model_of(baseline[0]))} reaches {number(baseline[0]['mean'])}."
        )
    return text + ")."
