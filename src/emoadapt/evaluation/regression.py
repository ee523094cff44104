"""From predicted values of attributes to concordance correlation coefficients and comparisons.

As in `emoadapt.evaluation.evaluate`, the folds of a run are pooled before anything is computed; a CCC is that of a whole test
set, never a mean over batches or folds. Utterances without a rating of an attribute do not count for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.evaluate import (
    RUN,
    SETTING,
    AnyOutcome,
    Model,
    collect_distances,
    compare_all,
    list_distances,
    measure_distances,
    read_compactly,
    sort_predictions,
)
from emoadapt.evaluation.significance import draw_weights
from emoadapt.flow.store import write_table

Values = tuple[NDArray[np.int64], Array, Array]
"""Of one run and attribute: (n_rows,) index of each prediction's utterance, predicted values and true ones."""


def score_concordance(predicted: Array, true: Array, weights: NDArray[np.generic] | None = None) -> Array:
    """Concordance correlation coefficient (Lin 1989, Biometrics 45), with variances and covariance over n, not n - 1.

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2)

    Args:
        predicted: (n,) values.
        true: (n,) values.
        weights: (n, n_draws) how often each pair counts; None = once.

    Returns:
        (n_draws,), or a scalar array without weights; NaN with fewer than two pairs (counted as often as they are drawn), or
        if all predicted and true values are one and the same number.
    """
    counts = np.ones((len(true), 1)) if weights is None else np.asarray(weights)
    # The same shift of both changes nothing, and keeps the digits of values far from 0.
    shift = true.mean() if true.size else 0.0
    x, y = predicted - shift, true - shift
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]) @ counts
    total = sums[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y, square_x, square_y, product = sums[1:] / total
        spread = square_x - mean_x**2 + square_y - mean_y**2 + (mean_x - mean_y) ** 2
        ccc = 2 * (product - mean_x * mean_y) / spread
    # Of equal numbers, rounding leaves a spread of about this size.
    tiny = 1e-12 * (square_x + square_y)
    found = np.where((total > 1) & (spread > tiny), ccc, np.nan)
    return found[0] if weights is None else found


@dataclass(frozen=True)
class ValueOutcome:
    """Values of all runs of one setting on one test corpus.

    Attributes:
        runs: (resampling, seed) of each run.
        values: attribute -> the values of each run; only attributes that this corpus is rated for.
        seen: (n_utterances,) True where any run has a prediction.
    """

    runs: list[tuple[int, int]]
    values: Mapping[str, list[Values]]
    seen: NDArray[np.bool_]

    def scores(self, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs,), over all utterances or only those to keep."""
        weights = np.ones(self.seen.size) if keep is None else keep.astype(np.float64)
        return {metric: values[:, 0] for metric, values in self._weigh(weights[:, None]).items()}

    def sample(self, draws: int, seed: int, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Metric -> (n_runs, draws), in bootstrap draws of the utterances, the same for all runs and calls."""
        parts: dict[str, list[Array]] = {}
        for weights in draw_weights(self.seen.size, draws, np.random.default_rng(seed)):
            kept = weights if keep is None else weights * keep[:, None]
            for metric, values in self._weigh(kept).items():
                parts.setdefault(metric, []).append(values)
        return {metric: np.concatenate(values, axis=1) for metric, values in parts.items()}

    def _weigh(self, weights: NDArray[np.generic]) -> dict[str, Array]:
        """Metric -> (n_runs, n_draws), for (n_utterances, n_draws) weights; the mean over the attributes comes first."""
        single = {
            f"ccc_{name}": np.stack([score_concordance(x, y, weights[places]) for places, x, y in runs])
            for name, runs in self.values.items()
        }
        return {"ccc_mean": np.mean([*single.values()], axis=0), **single} if single else {}


def evaluate_attributes(
    task_name: str,
    attributes: Sequence[str],
    predictions: list[Path],
    embeddings: list[Path],
    metrics: Path,
    confusion: Path,
    comparisons: Path,
    bootstrap: int,
    confidence: float,
    named: Sequence[tuple[Model, Model]] = (),
) -> None:
    """Evaluate every run of a task of attributes.

    Args:
        task_name: the task.
        attributes: its attributes, in their order.
        predictions: ATTRIBUTE_PREDICTIONS tables of all its runs.
        embeddings: EMBEDDINGS tables; may be fewer, or none.
        metrics: METRICS table to write: CCC of each attribute, and their mean; an attribute that a test corpus has fewer than
            two ratings of has no rows there, and no say in the mean.
        confusion: CONFUSION table to write: without rows, as there are no classes.
        comparisons: COMPARISONS table to write, as by `evaluate_task`.
        bootstrap: draws of test utterances for the intervals.
        confidence: coverage of the intervals, for example 0.95.
        named: further comparisons, (model, its baseline).

    Raises:
        DataError: there are no predictions, they belong to another task, hold an attribute that the task does not have, or
            the same utterance twice in one run and fold.
    """
    frame = _read_values(task_name, attributes, predictions)
    distances = measure_distances(embeddings)
    write_table(metrics, [*_metric_rows(frame, attributes), *list_distances(distances)], schema.METRICS)
    write_table(confusion, [], schema.CONFUSION)
    rows = _comparison_rows(task_name, frame, distances, attributes, named, bootstrap, confidence)
    write_table(comparisons, rows, schema.COMPARISONS)


def _read_values(task: str, attributes: Sequence[str], paths: Sequence[Path]) -> pl.DataFrame:
    """Predictions, checked, in a fixed order."""
    kind = schema.ATTRIBUTE_PREDICTIONS
    frame = read_compactly(paths, kind, kind.names)
    frame = sort_predictions(task, frame, [*RUN, "fold", "utterance_id", "attribute"])
    if unknown := sorted(set(frame["attribute"]) - set(attributes)):
        raise DataError(
            f"task {task}: {', '.join(unknown)} in the predictions is not among the attributes {', '.join(attributes)}; the "
            "attributes were changed: run the fine-tuning again"
        )
    return frame


def _metric_rows(frame: pl.DataFrame, attributes: Sequence[str]) -> Iterator[dict[str, Any]]:
    for run, part in sorted(frame.partition_by(RUN, as_dict=True).items()):
        rated = part.drop_nulls("value")
        universe = rated["utterance_id"].unique().cast(pl.String).sort()
        outcome = _collect_values(rated, universe, attributes)[run[1], run[2]] if len(universe) else None
        for metric, values in (outcome.scores() if outcome else {}).items():
            counted = rated if metric == "ccc_mean" else rated.filter(attribute=metric.removeprefix("ccc_"))
            if np.isfinite(values[0]):
                yield {
                    **dict(zip(RUN, run, strict=True)),
                    "metric": metric,
                    "label": None,
                    "value": float(values[0]),
                    # An utterance of a corpus that every fold is tested on counts once.
                    "n": counted["utterance_id"].n_unique(),
                }


def _comparison_rows(
    task: str,
    frame: pl.DataFrame,
    distances: pl.DataFrame,
    attributes: Sequence[str],
    named: Sequence[tuple[Model, Model]],
    draws: int,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of all settings; settings of one test corpus and subset share their bootstrap draws."""
    for (test_corpus,), corpus_frame in sorted(
        frame.drop_nulls("value").partition_by("test_corpus", as_dict=True).items()
    ):
        universe = corpus_frame["utterance_id"].unique().cast(pl.String).sort()
        seed = zlib.crc32(f"{task}/{test_corpus}".encode())
        for (subset,), part in sorted(corpus_frame.partition_by("subset", as_dict=True).items()):
            apart = distances.filter(test_corpus=test_corpus, subset=subset)
            collected: list[Mapping[Model, AnyOutcome]] = [_collect_values(part, universe, attributes)]
            collected.append(collect_distances(apart))
            for outcomes in collected:
                sampled = {model: (outcome, outcome.sample(draws, seed)) for model, outcome in outcomes.items()}
                for (backbone, start), rows in compare_all(sampled, named, draws, seed, confidence):
                    place = (task, backbone, start, subset, test_corpus)
                    yield from ({**dict(zip(SETTING, place, strict=True)), **row} for row in rows)


def _collect_values(frame: pl.DataFrame, universe: pl.Series, attributes: Sequence[str]) -> dict[Model, ValueOutcome]:
    """(backbone, start) -> its runs on one test corpus, of rows with a true value; utterances are numbered as in `universe`."""
    frame = frame.with_columns(utterance=pl.col("utterance_id").cast(pl.Enum(universe)).to_physical().cast(pl.Int64))
    # One and the same set for all models, so that their means are over the same attributes.
    rated = frame.group_by("attribute").agg(pl.col("utterance_id").n_unique().alias("n")).filter(pl.col("n") > 1)
    used = [name for name in attributes if name in set(rated["attribute"])]
    outcomes = {}
    for model, setting in sorted(frame.partition_by("backbone", "start", as_dict=True).items()):
        parts = sorted(setting.partition_by("resampling", "seed", as_dict=True).items())
        seen = np.zeros(len(universe), dtype=np.bool_)
        seen[setting["utterance"].to_numpy()] = True
        values = {name: [_take_values(part.filter(attribute=name)) for _, part in parts] for name in used}
        runs = [cast(tuple[int, int], run) for run, _ in parts]
        outcomes[cast(Model, model)] = ValueOutcome(runs, values, seen)
    return outcomes


def _take_values(part: pl.DataFrame) -> Values:
    return part["utterance"].to_numpy(), part["predicted"].to_numpy(), part["value"].to_numpy()
