"""From predictions and embeddings of one task to its metrics, confusion counts and comparisons.

Folds of a run are pooled before anything is computed: a run is one (resampling, seed), and its test set is
that of all its folds together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.confusion import Array, score_classes
from emoadapt.evaluation.significance import (
    bootstrap_runs,
    bound_interval,
    compare_pairs,
    place_cells,
    score_all,
)
from emoadapt.flow.frames import to_frame
from emoadapt.flow.store import read_table, write_table
from emoadapt.metrics.cosine_distance import DistanceOutcome, measure_cosine_distance

SETTING = ("task", "backbone", "start", "subset", "test_corpus")
RUN = ("task", "backbone", "start", "subset", "resampling", "seed", "test_corpus")
HANDCRAFTED = ("handcrafted", "egemaps")
"""Backbone and start of the handcrafted baseline (as in `flow.grid`, which reads the configuration and this does not)."""
Model = tuple[str, str]
"""Backbone and start."""


@dataclass(frozen=True)
class Outcome:
    """All runs of one setting on one test corpus.

    Attributes:
        runs: (resampling, seed) of each run.
        cells: per run, the (n_cells, n_utterances) matrix of `place_cells`.
        seen: (n_utterances,) True where any run has a prediction.
    """

    runs: list[tuple[int, int]]
    cells: list[sparse.csr_matrix]
    seen: NDArray[np.bool_]

    def scores(self, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs,), over all utterances or only those to keep."""
        weights = np.ones(self.seen.size) if keep is None else keep.astype(np.float64)
        size = round(self.cells[0].shape[0] ** 0.5)
        return score_all(np.stack([(run @ weights).reshape(size, size) for run in self.cells]))

    def sample(self, draws: int, seed: int, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs, draws), in bootstrap draws of the utterances."""
        return bootstrap_runs(self.cells, draws, seed, keep)


class AnyOutcome(Protocol):
    """All runs of one setting on one test corpus, whatever is measured: `Outcome` and its sisters."""

    @property
    def runs(self) -> list[tuple[int, int]]:
        """(resampling, seed) of each run."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n_utterances,) True where any run has a prediction."""

    def scores(self, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs,), over all utterances or only those to keep."""

    def sample(self, draws: int, seed: int, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs, draws), in bootstrap draws of the utterances."""


Sampled = tuple[AnyOutcome, Mapping[str, Array]]
"""All runs of one setting, and their metrics in every bootstrap draw."""


def evaluate_task(
    task_name: str,
    classes: Sequence[str],
    predictions: list[Path],
    embeddings: list[Path],
    metrics: Path,
    confusion: Path,
    comparisons: Path,
    bootstrap: int,
    confidence: float,
    named: Sequence[tuple[Model, Model]] = (),
) -> None:
    """Evaluate every run of a task.

    Args:
        task_name: the task.
        classes: its classes, in the order of the logits.
        predictions: PREDICTIONS tables of all its runs.
        embeddings: EMBEDDINGS tables; may be fewer, or none.
        metrics: METRICS table to write: one row per run, test corpus and metric. A class without a test utterance has
            per-class rows with `n` 0.
        confusion: CONFUSION table to write: all cells, zeros too.
        comparisons: COMPARISONS table to write: one row per setting, test corpus and metric against the
            original of the same backbone (baseline null where there is none), one against egemaps, and those of `named`.
        bootstrap: draws of test utterances for the intervals.
        confidence: coverage of the intervals, for example 0.95.
        named: further comparisons, (model, its baseline); made wherever both were trained on as many clips.

    Raises:
        DataError: there are no predictions, they belong to another task, hold a class that the task does
            not have, or the same utterance twice in one run and fold.
    """
    frame = _read_predictions(task_name, classes, predictions)
    counts = _count_runs(frame, classes)
    distances = measure_distances(embeddings)
    write_table(metrics, [*_metric_rows(frame, counts, classes), *list_distances(distances)], schema.METRICS)
    write_table(confusion, _confusion_rows(counts, classes), schema.CONFUSION)
    rows = _comparison_rows(frame, distances, classes, named, bootstrap, confidence)
    write_table(comparisons, rows, schema.COMPARISONS)


def _read_predictions(task: str, classes: Sequence[str], paths: Sequence[Path]) -> pl.DataFrame:
    """Predictions without logits, checked, in a fixed order."""
    columns = [*(field.name for field in schema.RUN_COLUMNS), "test_corpus", "utterance_id", "label", "predicted"]
    frame = sort_predictions(task, read_compactly(paths, schema.PREDICTIONS, columns), [*RUN, "fold", "utterance_id"])
    for column in ("label", "predicted"):
        if unknown := sorted(set(frame[column]) - set(classes)):
            raise DataError(
                f"task {task}: {column} {', '.join(unknown)} in the predictions is not among the classes "
                f"{', '.join(classes)}; the classes were changed: run the fine-tuning again"
            )
    return frame


def read_compactly(paths: Sequence[Path], kind: pa.Schema, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of all tables, texts as categories: as texts they take fifteen times the memory, in tens of millions of rows."""
    tables = [read_table(path, kind, columns) for path in paths] or [kind.empty_table()]
    parts = [to_frame(table).select(columns) for table in tables]
    return pl.concat([part.with_columns(pl.col(pl.String).cast(pl.Categorical)) for part in parts])


def sort_predictions(task: str, frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Put predictions in a fixed order; refuse those that are not a task's, or that come twice.

    Args:
        task: the task.
        frame: rows of predictions.
        key: columns that are different in any two rows.

    Raises:
        DataError: in one sentence.
    """
    if frame.is_empty():
        raise DataError(f"task {task} has no predictions; fine-tune at least one model on it")
    if other := sorted(set(frame["task"]) - {task}):
        raise DataError(
            f"predictions of task {', '.join(other)} were given to the evaluation of {task}; name only its own runs"
        )
    frame = frame.sort(key)
    twice = frame.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in key)).to_series()
    if twice.any():
        row = frame.filter(twice).row(0, named=True)
        raise DataError(
            f"task {task}: {row['utterance_id']} is predicted twice by {row['backbone']}.{row['start']}, subset "
            f"{row['subset']}, resampling {row['resampling']}, fold {row['fold']}, seed {row['seed']}; name each run once"
        )
    return frame


def _count_runs(frame: pl.DataFrame, classes: Sequence[str]) -> dict[tuple[Any, ...], NDArray[np.int64]]:
    """RUN values -> (n_classes, n_classes) counts, folds pooled."""
    position = {name: index for index, name in enumerate(classes)}
    counts: dict[tuple[Any, ...], NDArray[np.int64]] = {}
    grouped = frame.group_by([*RUN, "label", "predicted"]).len().sort([*RUN, "label", "predicted"])
    for *run, label, predicted, number in grouped.iter_rows():
        table = counts.setdefault(tuple(run), np.zeros((len(classes),) * 2, dtype=np.int64))
        table[position[label], position[predicted]] = number
    return counts


def _metric_rows(
    frame: pl.DataFrame, counts: Mapping[tuple[Any, ...], NDArray[np.int64]], classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    # An utterance of a corpus that every fold is tested on counts once.
    sizes = {
        row[:-1]: row[-1] for row in frame.group_by([*RUN, "label"]).agg(pl.col("utterance_id").n_unique()).iter_rows()
    }
    for run, table in counts.items():
        base = dict(zip(RUN, run, strict=True))
        per_class = [sizes.get((*run, name), 0) for name in classes]
        for metric, value in score_all(table).items():
            yield {**base, "metric": metric, "label": None, "value": float(value), "n": sum(per_class)}
        for metric, values in score_classes(table).items():
            for name, value, size in zip(classes, values, per_class, strict=True):
                yield {**base, "metric": metric, "label": name, "value": float(value), "n": size}


def measure_distances(paths: Sequence[Path]) -> pl.DataFrame:
    """Cosine distance of every run and utterance; one file at a time, since embeddings are wide."""
    kinds = {name: pl.Int32 if name in ("resampling", "seed") else pl.String for name in (*RUN, "utterance_id")}
    parts = [pl.DataFrame(schema={**kinds, "distance": pl.Float64})]
    for path in paths:
        table = read_table(path, schema.EMBEDDINGS)
        if not table.num_rows:
            continue
        tuned, start_point = (np.stack(table.column(name).to_numpy()) for name in ("tuned", "start_point"))
        frame = to_frame(table.select([*RUN, "utterance_id"]))
        parts.append(frame.with_columns(distance=pl.Series(measure_cosine_distance(tuned, start_point))))
    return pl.concat(parts)


def list_distances(distances: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Mean cosine distance of each run."""
    means = distances.group_by(RUN).agg(pl.col("distance").mean(), pl.col("utterance_id").n_unique()).sort(RUN)
    for *run, distance, size in means.iter_rows():
        yield {
            **dict(zip(RUN, run, strict=True)),
            "metric": "cosine_distance",
            "label": None,
            "value": distance,
            "n": size,
        }


def _confusion_rows(
    counts: Mapping[tuple[Any, ...], NDArray[np.int64]], classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for run, table in counts.items():
        base = dict(zip(RUN, run, strict=True))
        for true, label in enumerate(classes):
            for guess, predicted in enumerate(classes):
                yield {**base, "label": label, "predicted": predicted, "count": int(table[true, guess])}


def _comparison_rows(
    frame: pl.DataFrame,
    distances: pl.DataFrame,
    classes: Sequence[str],
    named: Sequence[tuple[Model, Model]],
    draws: int,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of all settings; settings of one test corpus and subset share their bootstrap draws."""
    task = frame["task"][0]
    for (test_corpus,), corpus_frame in sorted(frame.partition_by("test_corpus", as_dict=True).items()):
        universe = corpus_frame["utterance_id"].unique().cast(pl.String).sort()
        seed = zlib.crc32(f"{task}/{test_corpus}".encode())
        for (subset,), part in sorted(corpus_frame.partition_by("subset", as_dict=True).items()):
            apart = distances.filter(test_corpus=test_corpus, subset=subset)
            for outcomes in (_collect_outcomes(part, universe, classes), collect_distances(apart)):
                sampled = {model: (outcome, outcome.sample(draws, seed)) for model, outcome in outcomes.items()}
                for (backbone, start), rows in compare_all(sampled, named, draws, seed, confidence):
                    place = (task, backbone, start, subset, test_corpus)
                    yield from ({**dict(zip(SETTING, place, strict=True)), **row} for row in rows)


def compare_all(
    sampled: Mapping[Model, Sampled], named: Sequence[tuple[Model, Model]], draws: int, seed: int, confidence: float
) -> Iterator[tuple[Model, list[dict[str, Any]]]]:
    """Model -> a row per baseline and metric."""
    for model, own in sampled.items():
        described = _describe_outcome(*own, confidence)
        rows = []
        for baseline in _baselines(model, list(sampled), named):
            against: Mapping[str, dict[str, Any]] = {}
            if baseline is not None:
                against = _compare_outcomes(own, sampled[baseline], draws, seed, confidence)
            rows += [
                {
                    "baseline_backbone": baseline and baseline[0],
                    "baseline": baseline and baseline[1],
                    "metric": metric,
                    **values,
                    **against.get(metric, {}),
                    "n": int(own[0].seen.sum()),
                }
                for metric, values in described.items()
            ]
        yield model, rows


def _baselines(model: Model, models: Sequence[Model], named: Sequence[tuple[Model, Model]] = ()) -> list[Model | None]:
    """What a model is compared with: its original (None without one), the handcrafted vector, and what tables name."""
    backbone, start = model
    original = (backbone, "original")
    found: list[Model | None] = [original if start != "original" and original in models else None]
    if model != HANDCRAFTED and HANDCRAFTED in models:
        found.append(HANDCRAFTED)
    found += [other for subject, other in named if subject == model and other in models]
    return list(dict.fromkeys(found))


def collect_distances(frame: pl.DataFrame) -> dict[Model, DistanceOutcome]:
    """(backbone, start) -> the distances of its runs, over all utterances that any model has an embedding of."""
    universe = frame["utterance_id"].unique().sort()
    frame = frame.with_columns(utterance=pl.col("utterance_id").cast(pl.Enum(universe)).to_physical().cast(pl.Int64))
    outcomes = {}
    for model, setting in sorted(frame.partition_by("backbone", "start", as_dict=True).items()):
        parts = sorted(setting.partition_by("resampling", "seed", as_dict=True).items())
        sums, counts = np.zeros((2, len(parts), len(universe)))
        for row, (_, part) in enumerate(parts):
            places = part["utterance"].to_numpy()
            # An utterance that every fold is tested on has several embeddings.
            sums[row] = np.bincount(places, part["distance"].to_numpy(), minlength=len(universe))
            counts[row] = np.bincount(places, minlength=len(universe))
        runs = [cast(tuple[int, int], run) for run, _ in parts]
        outcomes[cast(Model, model)] = DistanceOutcome(runs, sums, counts)
    return outcomes


def _collect_outcomes(frame: pl.DataFrame, universe: pl.Series, classes: Sequence[str]) -> dict[Model, Outcome]:
    """(backbone, start) -> its runs, with utterances numbered as in `universe`."""
    names = pl.Enum(list(classes))
    frame = frame.with_columns(
        utterance=pl.col("utterance_id").cast(pl.Enum(universe)).to_physical().cast(pl.Int64),
        cell=pl.col("label").cast(names).to_physical().cast(pl.Int64) * len(classes)
        + pl.col("predicted").cast(names).to_physical().cast(pl.Int64),
    )
    outcomes = {}
    shape = (len(classes) ** 2, len(universe))
    for model, setting in sorted(frame.partition_by("backbone", "start", as_dict=True).items()):
        parts = sorted(setting.partition_by("resampling", "seed", as_dict=True).items())
        seen = np.zeros(len(universe), dtype=np.bool_)
        seen[setting["utterance"].to_numpy()] = True
        cells = [place_cells(part["utterance"].to_numpy(), part["cell"].to_numpy(), shape) for _, part in parts]
        outcomes[cast(Model, model)] = Outcome([cast(tuple[int, int], run) for run, _ in parts], cells, seen)
    return outcomes


def _describe_outcome(
    outcome: AnyOutcome, samples: Mapping[str, Array], confidence: float
) -> dict[str, dict[str, Any]]:
    """Metric -> n_runs, mean, std, low, high."""
    rows = {}
    for metric, values in outcome.scores().items():
        centre = float(values.mean()) if metric == "f1_bias" else None
        low, high = bound_interval(samples[metric].mean(axis=0), confidence, centre)
        rows[metric] = {
            "n_runs": values.size,
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if values.size > 1 else None,
            "low": low if metric.startswith("ccc") else max(low, 0.0),
            "high": high,
        }
    return rows


def _compare_outcomes(
    start: Sampled, baseline: Sampled, draws: int, seed: int, confidence: float
) -> dict[str, dict[str, Any]]:
    """Metric -> n_pairs, difference and its interval, p-value; over the runs and utterances that both have."""
    pairs = [
        (start[0].runs.index(run), baseline[0].runs.index(run)) for run in start[0].runs if run in baseline[0].runs
    ]
    keep = start[0].seen & baseline[0].seen
    if not pairs or not keep.any():
        return {metric: {"n_pairs": 0} for metric in start[1]}
    ours, theirs = [list(indices) for indices in zip(*pairs, strict=True)]
    sides = []
    for (outcome, samples), chosen in ((start, ours), (baseline, theirs)):
        whole = bool((outcome.seen == keep).all())
        resampled = samples if whole else outcome.sample(draws, seed, keep)
        sides.append({m: (v[chosen], resampled[m][chosen]) for m, v in outcome.scores(keep).items()})
    resamplings = [start[0].runs[index][0] for index in ours]
    rows = {}
    for metric in start[1]:
        (values, drawn), (base_values, base_drawn) = sides[0][metric], sides[1][metric]
        difference = float((values - base_values).mean())
        low, high = bound_interval(
            (drawn - base_drawn).mean(axis=0), confidence, difference if metric == "f1_bias" else None
        )
        rows[metric] = {
            "n_pairs": len(pairs),
            "difference": difference,
            "difference_low": low,
            "difference_high": high,
            "p_value": compare_pairs(values, base_values, resamplings),
        }
    return rows
