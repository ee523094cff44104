"""Table of students and teachers on the training clips (Srinivasan et al. 2022, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.reporting.reference import TRAINING_PART, find_paper_value
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import state_weights, subset_name
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Model, Setting

PART = "teacher"
"""Part of CURVES that holds what is known of a teacher."""
COLUMNS = {
    **dict.fromkeys(("task", "subset", *Model._fields, "teacher", "measure"), pl.String),
    "trainings": pl.Int64,
    **dict.fromkeys(("mean", "std", "paper_mean"), pl.Float64),
    "weights": pl.String,
}
"""Columns of the table `teaching`. `mean` and `std` (n - 1) are over the trainings that have the measure; `paper_mean` is what the study's
paper prints for the teacher on its training clips."""


def build_teaching(study: Study, splits: Mapping[str, Sequence[Path]], results: Path) -> pl.DataFrame:
    """Build one row per setting with a teacher and measure.

    Measures are shares of the training clips by use, and scores of the teacher.

    Args:
        study: the configuration.
        splits: task -> its SPLITS tables.
        results: folder of results, laid out as by the rules.
    """
    rows: list[dict[str, Any]] = []
    for setting in study.list_settings():
        teacher = getattr(study.finetunings[setting.model.finetuning], "teacher", None)
        if teacher is None:
            continue
        paths = [folder / "curves.parquet" for folder, _ in list_batches(study, setting, splits[setting.task], results)]
        noted = read_frame(paths, schema.CURVES).filter(part=PART)
        base = {"task": setting.task, "subset": setting.subset, **setting.model._asdict(), "teacher": teacher}
        base["weights"] = state_weights(study, setting.model.backbone)
        found = _average(noted).iter_rows(named=True)
        rows += [base | row | {"paper_mean": _find_printed(study, setting, teacher, row["measure"])} for row in found]
    return pl.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], schema=COLUMNS)


def _find_printed(study: Study, setting: Setting, teacher: str, measure: str) -> float | None:
    """What the paper prints of a teacher on its training clips; None for a share of clips."""
    tested = f"{study.tasks[setting.task].corpus} {TRAINING_PART}"
    found = find_paper_value(study, setting.task, tested, Model.parse(teacher), setting.subset, measure)
    return None if found is None else found[0]


def _average(noted: pl.DataFrame) -> pl.DataFrame:
    """Mean and deviation over runs of each measure, in the order noted; counts of clips as shares of all."""
    clips = noted.filter(metric="clips").select("run", total="value")
    named = noted.filter(pl.col("metric") != "clips").join(clips, on="run", maintain_order="left")
    counted = pl.col("metric").str.starts_with("clips_")
    value = pl.when(counted).then(pl.col("value") / pl.col("total")).otherwise(pl.col("value"))
    return (
        named.with_columns(value=value, measure=pl.col("metric").str.replace("^clips_", "share_"))
        .group_by("measure", maintain_order=True)
        .agg(trainings=pl.len(), mean=pl.col("value").mean(), std=pl.col("value").std())
        .filter(~pl.col("measure").str.starts_with("share_") | (pl.col("mean") > 0))
    )


def list_teaching_notes(teaching: pl.DataFrame) -> dict[tuple[str, str], str]:
    """(task, model) -> the share of its training clips that a student was taught on, in a sentence.

    Args:
        teaching: rows of `build_teaching`.
    """
    notes = {}
    for (task, *model), part in teaching.group_by(["task", *Model._fields], maintain_order=True):
        name = str(Model(*map(str, model)))
        sizes = [_describe_subset(rows) for _, rows in part.group_by(["subset"], maintain_order=True)]
        notes[str(task), name] = f"{task}, {name}: taught by {part['teacher'][0]} on {'; '.join(sizes)}."
    return notes


_REASONS = {
    "share_residual": "left out by their residual",
    "share_misclassified": "misclassified by the teacher",
    "share_absent": "unknown to the teacher",
}


def _describe_subset(rows: pl.DataFrame) -> str:
    shares = dict(rows.select("measure", "mean").iter_rows())
    said = [f"{100 * shares[measure]:.1f} % {why}" for measure, why in _REASONS.items() if measure in shares]
    taught = f"{100 * shares.get('share_taught', 0.0):.1f} % of the training clips ({subset_name(rows['subset'][0])})"
    return f"{taught}, {', '.join(said)}" if said else taught
