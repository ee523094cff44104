"""Tables for readers: rounded values, units and words, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from emoadapt.reporting.audits import PRESENTERS
from emoadapt.reporting.learned import describe_learned
from emoadapt.reporting.measures import count_digits, label_metric, order_metric
from emoadapt.reporting.pretext import describe_pretext
from emoadapt.reporting.style import (
    interval,
    label_model,
    model_of,
    name_place,
    number,
    probability,
    spread,
    star,
    subset_name,
)
from emoadapt.study.nodes import Model

Row = dict[str, Any]


def present_table(name: str, tidy: pl.DataFrame, names: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Text columns with readable headers for a tidy table of `write_tables`.

    Args:
        name: of the table.
        tidy: its rows.
        names: names of models and of their parts, as `report.names`. None: they are called as configured.
    """
    maker = _present_paper if name.startswith("paper_") else _MAKERS.get(name, _present_plain)
    rows = maker(_name_models(tidy, names or {}) if name in _MAKERS else tidy)
    if not rows:
        return pl.DataFrame()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return pl.DataFrame({column: [str(row.get(column, "–")) for row in rows] for column in columns})


def _name_models(tidy: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """The table with a column of what each model is called, if it has models."""
    if not {*Model._fields, "weights"} <= set(tidy.columns):
        return tidy
    called = [label_model(model_of(row), row["weights"], names) for row in tidy.iter_rows(named=True)]
    named = tidy.with_columns(pl.Series("model", called, pl.String))
    shown = [name for name in ("teacher", "reference") if name in tidy.columns]
    return named.with_columns(pl.col(name).replace(names) for name in shown)


def present_chance(name: str, tidy: pl.DataFrame, names: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Chance levels of a table with scores, a row for each task and test set, with columns of `present_table`.

    The level of a test set is a mean over the models, which may have been tested on different clips.
    """
    if "chance" not in tidy.columns or tidy["chance"].null_count() == tidy.height:
        return pl.DataFrame()
    rows = []
    for _, part in tidy.group_by("task", "test_corpus", maintain_order=True):
        row = {"task": name_place(part.row(0, named=True)), "tested on": part["test_corpus"][0], "model": CHANCE_NAME}
        keys = ["metric"] if "corpus" in tidy.columns else ["label"]
        levels = part.group_by(keys, maintain_order=True).agg(pl.col("chance").mean()).drop_nulls()
        digits = 3 if "corpus" in tidy.columns else 2
        shown = {
            label_metric(key) if keys == ["metric"] else key: number(level, digits) for key, level in levels.iter_rows()
        }
        rows.append(row | shown)
    columns = present_table(name, tidy, names).columns
    return pl.DataFrame({column: [str(row.get(column, "–")) for row in rows] for column in columns})


CHANCE_NAME = "chance"
"""What a row of chance levels is called."""


def present_whole(name: str, tidy: pl.DataFrame, names: Mapping[str, str] | None = None) -> pl.DataFrame:
    """A table for readers with its chance levels below it."""
    shown, levels = present_table(name, tidy, names), present_chance(name, tidy, names)
    return shown if levels.is_empty() else pl.concat([shown, levels])


def _setting(row: Row) -> Row:
    return {
        "task": name_place(row),
        "training clips": subset_name(row["subset"]),
        "model": row["model"],
        "weights": row["weights"],
    }


def _judgement(row: Row) -> Row:
    """Difference to the baseline and its p-value."""
    return {
        "difference to original": number(row["difference"], sign=True)
        + (f" {star(row['p_value'])}" if star(row["p_value"]) else ""),
        "its interval over test clips": interval(row["difference_low"], row["difference_high"], sign=True),
        "p over runs": probability(row["p_value"]),
    }


def _reference(row: Row, tidy: pl.DataFrame) -> Row:
    """Difference to the model that `report.baseline` names and its p-value; nothing where it names none."""
    names = tidy["reference"].drop_nulls().unique().to_list()
    if not names:
        return {}
    stars = star(row["reference_p_value"])
    return {
        f"difference to {names[0]}": number(row["reference_difference"], sign=True) + (f" {stars}" if stars else ""),
        f"p against {names[0]}": probability(row["reference_p_value"]),
    }


def _paper(row: Row, tidy: pl.DataFrame) -> Row:
    if tidy["paper_mean"].null_count() == tidy.height:
        return {}
    return {"paper": spread(row["paper_mean"], row["paper_std"])}


def _present_results(tidy: pl.DataFrame) -> list[Row]:
    """One row per setting, the metrics side by side; interval, difference and p are of the first."""
    rows = []
    for _, part in tidy.group_by(["task", "test_corpus", "subset", *Model._fields], maintain_order=True):
        values = {row["metric"]: row for row in part.iter_rows(named=True)}
        first, *others = sorted(values, key=order_metric)
        main = values[first]
        rows.append(
            {
                **_setting(main),
                label_metric(main["metric"]): spread(main["mean"], main["std"]),
                "interval over test clips": interval(main["low"], main["high"]),
                **_judgement(main),
                **{label_metric(metric): spread(values[metric]["mean"], values[metric]["std"]) for metric in others},
                **_paper(main, tidy.filter(metric=first)),
                **_reference(main, tidy),
                "n test": f"{main['n']:,}",
                "runs": str(main["n_runs"]),
                "split": main["split"],
                "labels": main["labels"],
            }
        )
    return rows


def _present_one_metric(tidy: pl.DataFrame) -> list[Row]:
    return [
        {
            **_setting(row),
            label_metric(row["metric"]): spread(row["mean"], row["std"]),
            "interval over test clips": interval(row["low"], row["high"]),
            **_judgement(row),
            **_paper(row, tidy),
            "n test": f"{row['n']:,}",
            "runs": str(row["n_runs"]),
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_classes(tidy: pl.DataFrame) -> list[Row]:
    """One row per setting, a column per class."""
    rows = []
    for _, part in tidy.group_by(["task", "test_corpus", "subset", *Model._fields], maintain_order=True):
        first = part.row(0, named=True)
        place = {"task": first["task"], "tested on": first["test_corpus"]}
        classes = {row["label"]: spread(row["mean"], row["std"], 2) for row in part.iter_rows(named=True)}
        rows.append(
            {**place, **{k: v for k, v in _setting(first).items() if k != "task"}, **classes,
             "n test": f"{sum(part['n']):,}", "runs": str(first["n_runs"])}
        )  # fmt: skip
    return _align(rows, ("n test", "runs"))


def _present_distance(tidy: pl.DataFrame) -> list[Row]:
    return [
        {
            "task": row["task"],
            "tested on": row["test_corpus"],
            "training clips": subset_name(row["subset"]),
            "model": row["model"],
            "weights": row["weights"],
            "cosine distance": spread(row["mean"], row["std"], 4),
            "n test": f"{row['n']:,}",
            "runs": str(row["n_runs"]),
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_data(tidy: pl.DataFrame) -> list[Row]:
    """One row per task, corpus, partition, fold and split, a column per class; corpora only tested on appear with one fold."""
    rows, several = [], tidy["partition"].n_unique() > 1
    for _, part in tidy.group_by(["task", "corpus"], maintain_order=True):
        # A part of a corpus may be another one in each partition.
        sizes = part.filter(pl.col("label").is_null()).group_by("partition").agg(pl.col("utterances").max())
        only_test = set(part["split"]) == {"test"} and sizes["utterances"].n_unique() == 1
        none = dict.fromkeys(part["label"].drop_nulls().unique(maintain_order=True), "0")
        for (partition, fold, split), cell in part.group_by(["partition", "fold", "split"], maintain_order=True):
            if only_test and (partition, fold) != (part["partition"].min(), part["fold"].min()):
                continue
            total = cell.filter(pl.col("label").is_null()).row(0, named=True)
            classes = {r["label"]: f"{r['utterances']:,}" for r in cell.iter_rows(named=True) if r["label"] is not None}
            rows.append(
                {
                    "task": total["task"],
                    "corpus": total["corpus"],
                    **({"partition": "every" if only_test else str(partition)} if several else {}),
                    "fold": "every" if only_test else str(fold),
                    "split": str(split),
                    "utterances": f"{total['utterances']:,}",
                    "speakers": f"{total['speakers']:,}" if total["speakers"] else "unknown",
                    "shared speakers": f"{total['shared_speakers']:,}" if total["speakers"] else "unknown",
                    "shared clips": f"{total['shared_clips']:,}",
                    **none,
                    **classes,
                    "split by": total["split_kind"],
                    "labels": total["labels"],
                    "left out": total["left_out"] or "–",
                }
            )
    return _align(rows, ("split by", "labels", "left out"))


def _present_extracted(tidy: pl.DataFrame) -> list[Row]:
    """One row per feature and corpus."""
    return [
        {
            "feature": row["feature"],
            "corpus": row["corpus"],
            "what it is": row["holds"],
            "computed by": row["computed_by"],
            "clips": f"{row['clips']:,}",
            "have it": f"{row['ok']:,}",
            "of them with a note": f"{row['noted']:,}",
            "absent": f"{row['absent']:,}",
            "failed": f"{row['failed']:,}",
            "hours of audio": "–" if row["seconds"] is None else f"{row['seconds'] / 3600:.2f}",
            "folder": row["folder"],
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_stage1(tidy: pl.DataFrame) -> list[Row]:
    """One row per adaptation and test set."""

    def share(seen: int | None, total: int | None, of: str = "of") -> str:
        return "–" if total is None else f"{seen:,} {of} {total:,}"

    return [
        {
            "adaptation": row["adaptation"],
            "corpora": row["corpora"],
            "Stage-1 clips": f"{row['clips']:,}",
            "held out": f"{row['held_out']:,}",
            "speakers": f"{row['speakers']:,}",
            "clips of unknown speakers": f"{row['clips_of_unknown']:,}",
            "task": row["task"] or "–",
            "tested on": row["test_corpus"] or "–",
            "test clips that Stage 1 used": share(row["seen_clips"], row["test_clips"]),
            "test speakers that Stage 1 used": share(
                row["seen_speakers"], row["test_speakers"], "known of" if row["clips_of_unknown"] else "of"
            ),
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_word_errors(tidy: pl.DataFrame) -> list[Row]:
    return [
        {
            "corpus": row["corpus"],
            "language": row["language"] or "unknown",
            "recogniser": " ".join(filter(None, (row["engine"], row["model"]))),
            "word error rate": "–" if row["word_error_rate"] is None else f"{100 * row['word_error_rate']:.1f} %",
            "words": f"{row['words']:,}",
            "substitutions": f"{row['substitutions']:,}",
            "deletions": f"{row['deletions']:,}",
            "insertions": f"{row['insertions']:,}",
            "clips": f"{row['clips']:,}",
            "without a word": f"{row['wordless']:,}",
            "not listened to": f"{row['unheard']:,}",
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_choices(tidy: pl.DataFrame) -> list[Row]:
    """What was chosen, how often, and its score on the clips that chose."""
    return [
        {
            "task": row["task"],
            "training clips": subset_name(row["subset"]),
            "model": row["model"],
            "weights": row["weights"],
            "chosen": row["combination"],
            "times": f"{row['times']} of {row['trainings']}",
            "among": f"{row['tried']} combinations",
            "by": row["chosen_by"],
            "mean score there": number(row["score"]),
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_teaching(tidy: pl.DataFrame) -> list[Row]:
    """A row per student: shares of its training clips, then scores of its teacher on them."""
    rows, keys = [], ["task", "subset", *Model._fields, "teacher"]
    measures = sorted(tidy["measure"].unique(maintain_order=True), key=lambda name: not name.startswith("share_"))
    for _, part in tidy.group_by(keys, maintain_order=True):
        first = part.row(0, named=True)
        base = {"task": first["task"], "training clips": subset_name(first["subset"])}
        base |= {"student": first["model"], "weights": first["weights"], "teacher": first["teacher"]}
        base["trainings"] = f"{first['trainings']}"
        found = {name: values for name, *values in part.select("measure", "mean", "std", "paper_mean").iter_rows()}
        shown = {name: _show_measure(name, *found[name]) if name in found else "–" for name in measures}
        rows.append(base | {_label_measure(name): text for name, text in shown.items()})
    return rows


def _label_measure(name: str) -> str:
    """`share_residual` as `residual (%)`, `ccc_valence` and others as tables of scores label them."""
    kind, _, rest = name.partition("_")
    patterns = {"share": f"{rest} (%)", "ccc": f"CCC {rest}", "pearson": f"Pearson's r {rest}"}
    return patterns[kind] if kind in patterns else label_metric(name)


def _show_measure(name: str, mean: float, std: float | None, printed: float | None) -> str:
    if name.startswith("share_"):
        return number(100 * mean, 1)
    paper = "" if printed is None else f" (paper {number(printed)})"
    return (number(mean) if std is None else f"{number(mean)} ± {number(std)}") + paper


def _align(rows: list[Row], last: tuple[str, ...]) -> list[Row]:
    """Rows that all have the columns of all classes, a dash where a task lacks a class, with `last` at the end."""
    columns = list(dict.fromkeys(column for row in rows for column in row if column not in last))
    return [{**{c: row.get(c, "–") for c in columns}, **{c: row[c] for c in last}} for row in rows]


def _present_paper(tidy: pl.DataFrame) -> list[Row]:
    """As printed: its table, row and column, the metric, and the value with as many digits as there."""
    return [
        {
            **{name: row[name] for name in ("table", "row", "column")},
            "metric": label_metric(row["metric"]),
            "mean": number(row["mean"], count_digits(row["metric"])),
            "std": "–" if row["std"] is None else str(row["std"]),
            "stars": row["stars"] or "",
        }
        for row in tidy.iter_rows(named=True)
    ]


def _present_plain(tidy: pl.DataFrame) -> list[Row]:
    return [
        {k.replace("_", " "): "–" if v is None else v for k, v in row.items()} for row in tidy.iter_rows(named=True)
    ]


STATUS_WORDS = {"noted": "used, with a note"}
"""Status -> words for it, where the status itself does not say what became of the clip."""


def _present_quarantine(tidy: pl.DataFrame) -> list[Row]:
    return [{**row, "status": STATUS_WORDS.get(row["status"], row["status"])} for row in _present_plain(tidy)]


_MAKERS: dict[str, Callable[[pl.DataFrame], list[Row]]] = {
    **PRESENTERS,
    "results": _present_results,
    "low_resource": _present_one_metric,
    "f1_bias": _present_one_metric,
    "cross_corpus": _present_results,
    "per_class_f1": _present_classes,
    "cosine_distance": _present_distance,
    "data": _present_data,
    "stage1_data": _present_stage1,
    "objectives": lambda tidy: [describe_learned(row) for row in tidy.iter_rows(named=True)],
    "pretext": lambda tidy: [describe_pretext(row) for row in tidy.iter_rows(named=True)],
    "word_errors": _present_word_errors,
    "extracted": _present_extracted,
    "choices": _present_choices,
    "teaching": _present_teaching,
    "quarantine": _present_quarantine,
    "quarantine_rows": _present_quarantine,
}
