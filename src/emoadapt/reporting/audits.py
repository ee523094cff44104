"""Tables of fairness, calibration and leaks, as tidy data and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.reporting.style import (
    model_key,
    number,
    spread,
    state_weights,
    subset_key,
    subset_name,
)
from emoadapt.study.nodes import Model

Row = dict[str, Any]

AUDIT_TABLES = {
    "fairness": schema.FAIRNESS,
    "calibration": schema.CALIBRATION,
    "reliability": schema.RELIABILITY,
    "coverage": schema.COVERAGE,
}
"""What the rule `audit` writes for a task, `results/metrics/<task>.<name>.parquet`."""

COUNTS = ("groups", "count", "of", "unchecked", "folds", "partitions")
"""Columns of whole numbers of these tables."""

_MODEL = ["task", "test_corpus", "subset", *Model._fields]

_KIND_WORDS = {
    "speakers": "speakers",
    "clips": "recordings",
    "development": "recordings of the development part",
    "transcripts": "sentences",
    "target_clips": "recordings",
    "target_speakers": "speakers",
    "stage1_clips": "recordings",
    "stage1_speakers": "speakers",
    "labels": "recordings with another label",
    "duplicates": "recordings, more than once",
    "stage1_copies": "recordings, more than once",
    "overlaps": "moments of a recording",
}


def audited_tasks(study: Study) -> list[str]:
    """Tasks whose models are audited: those with classes."""
    return [name for name, task in study.tasks.items() if task.classes]


def audit_paths(study: Study, results: Path, name: str) -> list[Path]:
    """Tables `name` of `AUDIT_TABLES` of all audited tasks."""
    return [results / "metrics" / f"{task}.{name}.parquet" for task in audited_tasks(study)]


def build_fairness(study: Study, fairness: pl.DataFrame) -> pl.DataFrame:
    """Mean and standard deviation over the runs of each setting of FAIRNESS rows."""
    keys = ["grouping", "group", "metric", "label"]
    return _average(study, fairness, keys, groups=pl.col("groups").max())


def build_calibration(study: Study, calibration: pl.DataFrame) -> pl.DataFrame:
    """Mean and standard deviation over the runs of each setting of CALIBRATION rows."""
    return _average(study, calibration, ["metric"])


def build_leaks(leaks: pl.DataFrame) -> pl.DataFrame:
    """LEAKS rows with their examples as text."""
    return leaks.with_columns(pl.col("examples").list.join("; "))


def _average(study: Study, frame: pl.DataFrame, keys: list[str], **more: pl.Expr) -> pl.DataFrame:
    averaged = frame.group_by([*_MODEL, *keys], maintain_order=True).agg(
        mean=pl.col("value").mean(),
        std=pl.col("value").std(),
        n_runs=pl.len().cast(pl.Int64),
        n=pl.col("n_all").max(),
        **more,
    )
    weights = pl.Series("weights", [state_weights(study, name) for name in averaged["backbone"]], dtype=pl.String)
    return sort_settings(study, averaged.with_columns(weights))


def sort_settings(study: Study, frame: pl.DataFrame) -> pl.DataFrame:
    """Tasks and models as configured, the corpus trained on first, subsets by size; rows of a setting keep their order."""
    tasks = list(study.tasks)

    def key(place: int) -> tuple[Any, ...]:
        task, corpus, subset, *model = found[place]
        home = study.tasks[task].corpus
        return (tasks.index(task), corpus != home, corpus, subset_key(subset), model_key(study, Model(*model)))

    found = frame.select(_MODEL).rows()
    return frame[sorted(range(len(found)), key=key)] if found else frame


# --- for people ------------------------------------------------------------------------------------


def _settings(tidy: pl.DataFrame) -> Iterator[tuple[Row, pl.DataFrame]]:
    """(the first columns, the rows) of every setting."""
    for _, part in tidy.group_by(_MODEL, maintain_order=True):
        row = part.row(0, named=True)
        yield (
            {
                "task": row["task"],
                "tested on": row["test_corpus"],
                "training clips": subset_name(row["subset"]),
                "model": row["model"],
                "weights": row["weights"],
            },
            part,
        )


def _present_fairness(tidy: pl.DataFrame) -> list[Row]:
    """One row per setting: both sexes and their gap, the recall gaps, and the spread over speakers."""
    rows = []
    for first, part in _settings(tidy):
        values = {
            (row["grouping"], row["metric"], row["group"], row["label"]): row for row in part.iter_rows(named=True)
        }

        def show(grouping: str, metric: str, group: str | None = None, values: Any = values) -> str:
            row = values.get((grouping, metric, group, None))
            return "–" if row is None else spread(row["mean"], row["std"])

        speakers = part.filter(pl.col("group").is_not_null(), grouping="speaker", metric="macro_f1").sort("mean")
        lowest = speakers.row(0, named=True) if speakers.height > 1 else None
        rows.append(
            {
                **first,
                "F1 female": show("sex", "macro_f1", "female"),
                "F1 male": show("sex", "macro_f1", "male"),
                "gap": show("sex", "macro_f1_gap"),
                "recall gap, mean over classes": show("sex", "recall_gap"),
                "largest recall gap": _widest_gap(part),
                "speakers": f"{speakers.height:,}",
                "std over speakers": show("speaker", "macro_f1_std"),
                "lowest speaker": "–"
                if lowest is None
                else f"{number(lowest['mean'])} ({lowest['group']}, {lowest['n']:,} clips)",
                "runs": str(part["n_runs"].max()),
            }
        )
    return rows


def _widest_gap(part: pl.DataFrame) -> str:
    gaps = part.filter(pl.col("label").is_not_null(), grouping="sex", metric="recall_gap").sort("mean", descending=True)
    return "–" if gaps.is_empty() else f"{number(gaps['mean'][0])} ({gaps['label'][0]})"


def _present_calibration(tidy: pl.DataFrame) -> list[Row]:
    names = {
        "ece": "ECE",
        "adaptive_ece": "adaptive ECE",
        "overconfidence": "confidence − accuracy",
        "brier": "Brier score",
        "nll": "negative log-likelihood",
        "aurc": "AURC",
        "excess_aurc": "excess AURC",
        "accuracy_80": "accuracy of the surest 80 %",
        "accuracy_50": "accuracy of the surest 50 %",
    }
    rows = []
    for first, part in _settings(tidy):
        values = {row["metric"]: spread(row["mean"], row["std"]) for row in part.iter_rows(named=True)}
        shown = {words: values.get(metric, "–") for metric, words in names.items()}
        rows.append({**first, **shown, "n test": f"{part['n'].max():,}", "runs": str(part["n_runs"].max())})
    return rows


def _present_leaks(tidy: pl.DataFrame) -> list[Row]:
    return [
        {
            "task": row["task"],
            "between": row["between"],
            "of corpus": row["corpus"],
            "shared": _KIND_WORDS[row["kind"]],
            "found": "–" if row["verdict"] == "unknown" else f"{row['count']:,} of {row['of']:,}",
            "clips that could not be compared": f"{row['unchecked']:,}",
            "for example": row["examples"] or "–",
            "verdict": row["verdict"],
        }
        for row in tidy.iter_rows(named=True)
    ]


PRESENTERS: dict[str, Callable[[pl.DataFrame], list[Row]]] = {
    "fairness": _present_fairness,
    "calibration": _present_calibration,
    "leaks": _present_leaks,
}
"""Table -> how it is put before people."""
