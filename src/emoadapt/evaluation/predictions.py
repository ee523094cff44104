"""Predictions of a task, read one setting at a time.

The order is fixed. Segments are averaged per parent where the task asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import softmax

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Model

SETTING = (*(field.name for field in schema.MODEL_COLUMNS), "test_corpus")
RUN = (*(field.name for field in schema.SCORED_RUN_COLUMNS), "test_corpus")
"""Columns that are the same in all rows of a run, its folds pooled."""

SEGMENT = r"#\d+\.\d{2,3}-(?:\d+\.\d{2,3}|end)$"
"""End of the identifier of a segment, as `corpora.base.make_utterance_id` writes it."""


def group_settings(paths: Sequence[Path]) -> list[list[Path]]:
    """Tables of each setting: the logits of a whole study would not fit into memory.

    The batches of a setting, `.../<subset>/<batch>/predictions.parquet`, hold the folds of the same runs.
    """
    settings: dict[Path, list[Path]] = {}
    for path in paths:
        settings.setdefault(path.parent.parent, []).append(path)
    return [batches for _, batches in sorted(settings.items())]


def read_labels(splits: Sequence[Path], corpus: str) -> dict[str, str]:
    """Class of each test clip of a corpus, from the SPLITS tables of a task."""
    rows = read_frame(splits, schema.SPLITS, ["utterance_id", "corpus", "split", "label"])
    return dict(rows.filter(corpus=corpus, split="test").select("utterance_id", "label").unique().iter_rows())


def shrink(frame: pl.DataFrame) -> pl.DataFrame:
    """Store texts as categories, which needs a fifteenth of the memory."""
    return frame.with_columns(pl.col(pl.String).cast(pl.Categorical))


def order_rows(task: str, frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Put predictions in a fixed order; refuse those that come twice.

    Args:
        task: the task.
        frame: rows of predictions.
        key: columns that are different in any two rows.

    Raises:
        DataError: there are none, or one comes twice.
    """
    if frame.is_empty():
        raise DataError(f"task {task} has no predictions; fine-tune at least one model on it")
    frame = frame.sort(key)
    twice = frame.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in key)).to_series()
    if twice.any():
        row = frame.filter(twice).row(0, named=True)
        model = Model(*(row[name] for name in Model._fields))
        place = ", ".join(f"{name} {row[name]}" for name in ("subset", "partition", "fold", "resampling", "seed"))
        raise DataError(
            f"task {task}: {row['utterance_id']} is predicted twice by {model}, {place}; name each run once"
        )
    return frame


def refuse_other_task(task: str, frame: pl.DataFrame) -> None:
    """Refuse predictions of another task.

    Raises:
        DataError: there is one.
    """
    if other := sorted(set(frame["task"]) - {task}):
        raise DataError(
            f"predictions of task {', '.join(other)} were given to the evaluation of {task}; name only its own runs"
        )


def name_parent() -> pl.Expr:
    """Identifier of the recording or turn that a segment was cut from; of an utterance that is no segment its own."""
    return pl.col("utterance_id").str.replace(SEGMENT, "")


def average_classes(task: str, frame: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """One prediction for each parent: the mean of the softmax probabilities of its segments.

    Args:
        task: the task.
        frame: PREDICTIONS rows.
        classes: in the order of the logits.

    Returns:
        PREDICTIONS rows; logits are the logarithms of the mean probabilities.

    Raises:
        DataError: segments of one parent have different labels.
    """
    names = [f"_{place}" for place in range(len(classes))]
    shares = softmax(np.stack(frame["logits"].to_numpy().tolist()).astype(np.float64), axis=1)
    rows = frame.hstack(pl.DataFrame(shares, schema=names))
    parents = _group_parents(task, rows, [], "label", [pl.col(names).mean()])
    # Of a share that is 0 in double precision, the logarithm stays finite.
    logits = np.log(np.maximum(parents.select(names).to_numpy(), np.finfo(np.float64).tiny)).astype(np.float32)
    return parents.with_columns(
        predicted=pl.Series([classes[place] for place in logits.argmax(axis=1)], dtype=pl.String),
        logits=pl.Series(logits.tolist(), dtype=pl.List(pl.Float32)),
    ).select(frame.columns)


def average_values(task: str, frame: pl.DataFrame) -> pl.DataFrame:
    """One prediction for each parent and attribute: the mean of the values of its segments.

    Raises:
        DataError: segments of one parent have different true values.
    """
    parents = _group_parents(task, frame, ["attribute"], "value", [pl.col("predicted").mean()])
    return parents.select(frame.columns)


def _group_parents(
    task: str, frame: pl.DataFrame, also: Sequence[str], truth: str, averages: Sequence[pl.Expr]
) -> pl.DataFrame:
    """A row for each parent of a run and fold: what its segments agree on, and averages.

    Raises:
        DataError: they do not agree on the truth.
    """
    key = [*RUN, "fold", *also]
    parents = frame.group_by(*key, name_parent().alias("utterance_id"), maintain_order=True).agg(
        pl.col(truth).first(),
        (pl.col(truth).n_unique() > 1).alias("_torn"),
        *(pl.when(pl.col(who).n_unique() == 1).then(pl.col(who).first()).alias(who) for who in ("speaker", "sex")),
        *averages,
    )
    if (torn := parents.filter("_torn")).height:
        raise DataError(
            f"task {task}: segments of {torn['utterance_id'][0]} have different {truth}s, so that their predictions cannot be averaged; "
            f"correct them, or set tasks.{task}.score to utterances"
        )
    return parents


def split_runs(frame: pl.DataFrame) -> Iterator[tuple[dict[str, object], pl.DataFrame]]:
    """Columns and rows of each run, in a fixed order."""
    runs: Mapping[tuple[object, ...], pl.DataFrame] = frame.partition_by(RUN, as_dict=True)
    for run, rows in sorted(runs.items(), key=lambda item: str(item[0])):
        yield dict(zip(RUN, run, strict=True)), rows
