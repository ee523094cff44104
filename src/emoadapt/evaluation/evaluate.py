"""Tables of scores of a task, computed from predictions and embeddings.

A run that is scored is one (partition, resampling, seed). Its folds are pooled before anything is computed: its test set is
that of all folds of its partition together. Partitions are never pooled.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from emoadapt import schema
from emoadapt.evaluation.audit import AUDITS
from emoadapt.evaluation.comparisons import Scoring, compare_all
from emoadapt.evaluation.predictions import group_settings, shrink
from emoadapt.evaluation.questions import Distances, Question
from emoadapt.flow.provenance import library_versions
from emoadapt.storage.tables import write_table

METRICS = "metrics"
TABLES: dict[str, pa.Schema] = {
    METRICS: schema.METRICS,
    "confusion": schema.CONFUSION,
    "comparisons": schema.COMPARISONS,
    **AUDITS,
}
"""What is written for a task."""


def name_table(folder: Path, task: str, table: str = METRICS) -> Path:
    """File of a table of `TABLES`: `<task>.parquet`, and `<task>.<name>.parquet` for those besides the metrics."""
    return folder / (f"{task}.parquet" if table == METRICS else f"{task}.{table}.parquet")


def evaluate_task(
    question: Question, predictions: Sequence[Path], embeddings: Sequence[Path], folder: Path, scoring: Scoring
) -> None:
    """Evaluate every run of a task.

    Args:
        question: of the task.
        predictions: tables of all its runs.
        embeddings: EMBEDDINGS tables; may be fewer, or none.
        folder: where to write `TABLES`. There is a METRICS row per run, test corpus and metric, and a COMPARISONS row per
            model, number of clips, test corpus, score and baseline (null where there is none). A question without classes has no rows of
            confusion, fairness and calibration.
        scoring: how models are compared and judged.

    Raises:
        DataError: there are no predictions, they belong to another task, do not fit its classes or attributes, or hold the same
            utterance twice in one run and fold.
    """
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    parts: list[pl.DataFrame] = []
    for paths in group_settings(predictions):
        answers = question.read(paths)
        for table, row in question.audit(answers, scoring.group_clips):
            rows[table].append(row)
        parts.append(shrink(answers.select(*dict.fromkeys([*question.key, *question.answer]))))
    frame = question.order(pl.concat(parts) if parts else pl.DataFrame())
    distances = Distances(embeddings, question.parents)
    rows[METRICS] = [*question.score_runs(frame), *distances.score_runs()]
    rows["confusion"] = [*question.count_confusion(frame)]
    rows["comparisons"] = [*_compare_models(question, frame, distances, scoring)]
    for table, kind in TABLES.items():
        write_table(name_table(folder, question.task, table), rows[table], kind, library_versions())


def _compare_models(
    question: Question, frame: pl.DataFrame, distances: Distances, scoring: Scoring
) -> Iterator[dict[str, Any]]:
    """COMPARISONS rows of all settings; those of one test corpus share their bootstrap draws."""
    for (test_corpus,), corpus_frame in sorted(frame.partition_by("test_corpus", as_dict=True).items()):
        universe = corpus_frame["utterance_id"].unique().cast(pl.String).sort()
        seed = zlib.crc32(f"{question.task}/{test_corpus}".encode())
        for (subset,), part in sorted(corpus_frame.partition_by("subset", as_dict=True).items()):
            place = {"task": question.task, "subset": subset, "test_corpus": test_corpus}
            for outcomes in (question.collect(part, universe), distances.collect(test_corpus, subset)):
                yield from ({**place, **row} for row in compare_all(outcomes, seed, scoring))
