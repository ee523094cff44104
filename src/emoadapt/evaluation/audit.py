"""From the predictions of a task to its tables of fairness and calibration. No training, no bootstrap.

As in `evaluate`, a run is one (resampling, seed), and its test set is that of all its folds together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.calibration import (
    BINS,
    COVERAGES,
    bin_confidence,
    judge_logits,
    rank_predictions,
    score_calibration,
)
from emoadapt.evaluation.fairness import score_sexes, score_speakers
from emoadapt.flow.frames import read_frame
from emoadapt.flow.store import write_table

RUN = ("task", "backbone", "start", "subset", "resampling", "seed", "test_corpus")
_COLUMNS = ("fold", "utterance_id", "speaker", "sex", "label", "predicted", "logits")


def audit_task(
    task: str,
    classes: Sequence[str],
    predictions: Sequence[Path],
    smallest: int,
    fairness: Path,
    calibration: Path,
    reliability: Path,
    coverage: Path,
) -> None:
    """Audit every run of a task.

    Args:
        task: the task.
        classes: its classes, in the order of the logits.
        predictions: PREDICTIONS tables of all its runs.
        smallest: test utterances that a group must have to be judged.
        fairness: FAIRNESS table to write.
        calibration: CALIBRATION table to write.
        reliability: RELIABILITY table to write: all bins, empty ones too.
        coverage: COVERAGE table to write.

    Raises:
        DataError: the predictions belong to another task, hold a class that the task does not have, or have another
            number of logits than it has classes.
    """
    tables: dict[Path, list[dict[str, Any]]] = {path: [] for path in (fairness, calibration, reliability, coverage)}
    for run, rows in _read_runs(task, classes, predictions):
        base = dict(zip(RUN, run, strict=True))
        tables[fairness] += [{**base, **row} for row in _judge_groups(rows, classes, smallest)]
        truth = rows["truth"].to_numpy()
        logits = np.stack(rows["logits"].to_numpy().tolist())
        size = rows["utterance_id"].n_unique()
        scores = score_calibration(logits, truth)
        tables[calibration] += [
            {**base, "metric": metric, "value": value, "n": size} for metric, value in scores.items()
        ]
        confidence, correct = judge_logits(logits, truth)
        tables[reliability] += [{**base, **row} for row in _list_bins(confidence, correct)]
        tables[coverage] += [{**base, **row} for row in _list_coverages(confidence, correct)]
    kinds = (schema.FAIRNESS, schema.CALIBRATION, schema.RELIABILITY, schema.COVERAGE)
    for (path, content), kind in zip(tables.items(), kinds, strict=True):
        write_table(path, content, kind)


def _read_runs(
    task: str, classes: Sequence[str], paths: Sequence[Path]
) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    """RUN values and rows of every run, a setting at a time: logits of a whole study would not fit into memory.

    The batches of a setting, `.../<subset>/<batch>/predictions.parquet`, hold the folds of the same runs.
    """
    settings: dict[Path, list[Path]] = {}
    for path in paths:
        settings.setdefault(path.parent.parent, []).append(path)
    for _, batches in sorted(settings.items()):
        frame = _read_predictions(task, classes, batches)
        yield from sorted(frame.partition_by(RUN, as_dict=True).items(), key=lambda item: str(item[0]))


def _read_predictions(task: str, classes: Sequence[str], paths: Sequence[Path]) -> pl.DataFrame:
    """Predictions with the class as a number (`truth`), in a fixed order."""
    frame = read_frame(paths, schema.PREDICTIONS, [*RUN, *_COLUMNS]).sort(*RUN, "fold", "utterance_id")
    if other := sorted(set(frame["task"]) - {task}):
        raise DataError(
            f"predictions of task {', '.join(other)} were given to the audit of {task}; name only its own runs"
        )
    wrong = frame.filter(
        ~pl.col("label").is_in(classes)
        | ~pl.col("predicted").is_in(classes)
        | (pl.col("logits").list.len() != len(classes))
    )
    if wrong.height:
        raise DataError(
            f"task {task}: the prediction of {wrong['utterance_id'][0]} does not fit its classes {', '.join(classes)}; "
            "they were changed: run the fine-tuning again"
        )
    place = pl.Enum(list(classes))
    return frame.with_columns(
        truth=pl.col("label").cast(place).to_physical().cast(pl.Int64),
        guess=pl.col("predicted").cast(place).to_physical().cast(pl.Int64),
    )


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
