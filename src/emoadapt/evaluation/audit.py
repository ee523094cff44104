"""Fairness and calibration of the predictions of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from emoadapt import schema
from emoadapt.evaluation.calibration import (
    BINS,
    COVERAGES,
    bin_confidence,
    judge_logits,
    rank_predictions,
    score_calibration,
)
from emoadapt.evaluation.fairness import score_sexes, score_speakers

AUDITS: dict[str, pa.Schema] = {
    "fairness": schema.FAIRNESS,
    "calibration": schema.CALIBRATION,
    "reliability": schema.RELIABILITY,
    "coverage": schema.COVERAGE,
}
"""Tables that `audit_run` gives rows of."""


def audit_run(rows: pl.DataFrame, classes: Sequence[str], smallest: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Audit one run, its folds pooled.

    Args:
        rows: its PREDICTIONS rows.
        classes: of the task, in the order of the logits.
        smallest: test utterances that a group must have to be judged.

    Yields:
        Name of a table of `AUDITS`, and a row without the columns of the run; of reliability all bins, empty ones too.
    """
    place = pl.Enum(list(classes))
    rows = rows.with_columns(
        truth=pl.col("label").cast(place).to_physical().cast(pl.Int64),
        guess=pl.col("predicted").cast(place).to_physical().cast(pl.Int64),
    )
    truth = rows["truth"].to_numpy()
    logits = np.stack(rows["logits"].to_numpy().tolist())
    yield from (("fairness", row) for row in _judge_groups(rows, classes, smallest))
    size = rows["utterance_id"].n_unique()
    for metric, value in score_calibration(logits, truth).items():
        yield "calibration", {"metric": metric, "value": value, "n": size}
    confidence, correct = judge_logits(logits, truth)
    yield from (("reliability", row) for row in _list_bins(confidence, correct))
    yield from (("coverage", row) for row in _list_coverages(confidence, correct))


def _judge_groups(rows: pl.DataFrame, classes: Sequence[str], smallest: int) -> Iterator[dict[str, Any]]:
    """FAIRNESS rows of one run."""
    yield from score_sexes(*_count_groups(rows, "sex", len(classes)), classes, smallest)
    yield from score_speakers(*_count_groups(rows, "speaker", len(classes)), smallest)


def _count_groups(
    rows: pl.DataFrame, column: str, n_classes: int
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """(groups, (n_groups, n_classes, n_classes) confusion counts, (n_groups, n_classes) utterances).

    An utterance of a corpus that every fold is tested on counts once as utterance, and once per fold as prediction.
    """
    known = rows.drop_nulls(column)
    names = sorted(set(known[column]))
    group = known[column].cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
    counts = np.zeros((len(names), n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (group, known["truth"].to_numpy(), known["guess"].to_numpy()), 1)
    sizes = np.zeros((len(names), n_classes), dtype=np.int64)
    for name, truth, size in known.group_by(column, "truth").agg(pl.col("utterance_id").n_unique()).iter_rows():
        sizes[names.index(name), truth] = size
    return names, counts, sizes


def _list_bins(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    bins = bin_confidence(confidence, correct)
    for place, count in enumerate(bins.count.tolist()):
        yield {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "count": count,
            "confidence": float(bins.confidence[place]) if count else None,
            "accuracy": float(bins.accuracy[place]) if count else None,
        }


def _list_coverages(confidence: NDArray[np.float64], correct: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    curve = rank_predictions(confidence, correct)
    for coverage in COVERAGES:
        kept, accuracy, threshold = curve.keep(coverage)
        yield {"coverage": coverage, "kept": kept, "accuracy": accuracy, "threshold": threshold}
