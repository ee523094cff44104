"""The question of a task: collection and scoring of its predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import polars as pl
import pyarrow as pa

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.audit import audit_run
from emoadapt.evaluation.outcomes import (
    ClassOutcome,
    MeanOutcome,
    Outcome,
    ScoredRun,
    Scorers,
    ValueOutcome,
    Values,
    place_cells,
)
from emoadapt.evaluation.predictions import (
    RUN,
    average_classes,
    average_values,
    name_parent,
    order_rows,
    refuse_other_task,
    split_runs,
)
from emoadapt.evaluation.sizes import count_utterances, name_setting, size_audit
from emoadapt.metrics.base import MEAN, Metric, list_metrics
from emoadapt.storage.frames import read_frame, to_frame
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Model

Rows = Iterator[dict[str, Any]]
RUN_OF_MODEL = ("partition", "resampling", "seed")


def pose_question(
    task: str,
    kind: Literal["classes", "attributes"],
    outputs: Sequence[str],
    *,
    parents: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Question:
    """The question of a task.

    Args:
        task: its name.
        kind: what is asked of a clip.
        outputs: classes in the order of the logits, or attributes.
        parents: whether predictions of segments are averaged per parent before they are scored.
        labels: utterance -> class, of a target: its predictions hold none, since no training reads them.
    """
    return QUESTIONS[kind](task, tuple(outputs), parents, labels or {})


@dataclass(frozen=True)
class Question(ABC):
    """What a task asks of a clip.

    Attributes:
        task: its name.
        outputs: its classes or attributes.
        parents: whether predictions of segments are averaged per parent.
        labels: utterance -> class, where predictions hold none.
    """

    task: str
    outputs: tuple[str, ...]
    parents: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    kind: ClassVar[str]
    table: ClassVar[pa.Schema]
    """Of its predictions."""
    key: ClassVar[tuple[str, ...]]
    """Columns that are different in any two predictions."""
    answer: ClassVar[tuple[str, ...]]
    """Columns of truth and prediction that scores are computed from."""

    @cached_property
    def metrics(self) -> list[Metric]:
        """Those that can be asked of it."""
        return list_metrics(self.kind)

    @cached_property
    def scorers(self) -> Scorers:
        """Functions of the metrics that have one value for a run."""
        return {metric.name: metric.load() for metric in self.metrics if not metric.per_class}

    def read(self, paths: Sequence[Path]) -> pl.DataFrame:
        """Predictions of a setting, checked, averaged per parent where that is wanted.

        Raises:
            DataError: they are of another task, do not fit its outputs, or cannot be averaged.
        """
        frame = read_frame(paths, self.table)
        if self.labels:
            known = pl.col("utterance_id").replace_strict(dict(self.labels), default=None, return_dtype=pl.String)
            frame = frame.with_columns(pl.coalesce("label", known).alias("label"))
        refuse_other_task(self.task, frame)
        self.check(frame)
        if self.parents and frame.height:
            frame = self.average(order_rows(self.task, frame, self.key))
        return frame

    def order(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predictions of all settings in a fixed order.

        Raises:
            DataError: there are none, or one comes twice.
        """
        return order_rows(self.task, frame, self.key)

    @abstractmethod
    def check(self, frame: pl.DataFrame) -> None:
        """Refuse predictions that do not fit the outputs.

        Raises:
            DataError: one does not.
        """

    @abstractmethod
    def average(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One prediction for each parent."""

    @abstractmethod
    def score_runs(self, frame: pl.DataFrame) -> Rows:
        """METRICS rows of all runs."""

    def count_confusion(self, frame: pl.DataFrame) -> Rows:
        """CONFUSION rows of all runs: all cells, zeros too."""
        yield from ()

    def audit(self, frame: pl.DataFrame, group_clips: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of the tables of `audit.AUDITS`, of predictions with logits."""
        yield from ()

    @abstractmethod
    def collect(self, frame: pl.DataFrame, universe: pl.Series) -> dict[Model, Outcome]:
        """Model -> its runs on one test corpus, utterances numbered as in `universe`."""


class ClassQuestion(Question):
    """Which class is it?"""

    kind = "classes"
    table = schema.PREDICTIONS
    key = (*RUN, "fold", "utterance_id")
    answer = ("label", "predicted")

    def check(self, frame: pl.DataFrame) -> None:
        """Refuse other classes, and another number of logits."""
        if (bare := frame.filter(pl.col("label").is_null())).height:
            raise DataError(
                f"task {self.task}: neither its predictions nor its splits have a label of {bare['utterance_id'][0]}; run the same "
                "command again"
            )
        for column in self.answer:
            if unknown := sorted(set(frame[column]) - set(self.outputs)):
                raise DataError(
                    f"task {self.task}: {column} {', '.join(unknown)} in the predictions is not among the classes "
                    f"{', '.join(self.outputs)}; the classes were changed: run the fine-tuning again"
                )
        wrong = frame.filter(pl.col("logits").list.len() != len(self.outputs))
        if wrong.height:
            raise DataError(
                f"task {self.task}: the prediction of {wrong['utterance_id'][0]} does not fit its classes "
                f"{', '.join(self.outputs)}; they were changed: run the fine-tuning again"
            )

    def average(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One prediction for each parent, by the mean of softmax probabilities."""
        return average_classes(self.task, frame, self.outputs)

    def score_runs(self, frame: pl.DataFrame) -> Rows:
        """METRICS rows of all runs; a class without a test utterance has per-class rows with `n` 0."""
        # An utterance of a corpus that every fold is tested on counts once.
        distinct = frame.group_by([*RUN, "label"]).agg(pl.col("utterance_id").n_unique())
        sizes = {row[:-1]: row[-1] for row in distinct.iter_rows()}
        everywhere = count_utterances(frame, "label")
        for run, counts in self._count(frame).items():
            base = dict(zip(RUN, run, strict=True))
            per_class = [sizes.get((*run, name), 0) for name in self.outputs]
            all_runs = [everywhere.get((*name_setting(base), name), 0) for name in self.outputs]
            for metric in self.metrics:
                with np.errstate(divide="ignore", invalid="ignore"):
                    found = np.asarray(metric.load()(counts))
                if metric.per_class:
                    for name, value, n, n_all in zip(self.outputs, found, per_class, all_runs, strict=True):
                        row = {"metric": metric.name, "label": name, "value": float(value)}
                        yield {**base, **row, "n": n, "n_all": n_all}
                else:
                    row = {"metric": metric.name, "label": None, "value": float(found)}
                    yield {**base, **row, "n": sum(per_class), "n_all": sum(all_runs)}

    def count_confusion(self, frame: pl.DataFrame) -> Rows:
        """CONFUSION rows of all runs: all cells, zeros too."""
        for run, counts in self._count(frame).items():
            base = dict(zip(RUN, run, strict=True))
            for true, label in enumerate(self.outputs):
                for guess, predicted in enumerate(self.outputs):
                    yield {**base, "label": label, "predicted": predicted, "count": int(counts[true, guess])}

    def audit(self, frame: pl.DataFrame, group_clips: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of fairness, calibration, reliability and coverage of each run."""
        found = [
            (table, {**run, **row})
            for run, rows in split_runs(frame.sort(self.key))
            for table, row in audit_run(rows, self.outputs, group_clips)
        ]
        size_audit(frame, found)
        yield from found

    def collect(self, frame: pl.DataFrame, universe: pl.Series) -> dict[Model, Outcome]:
        """Model -> its runs on one test corpus."""
        size, names = len(self.outputs), pl.Enum(list(self.outputs))
        true, guess = (pl.col(name).cast(names).to_physical().cast(pl.Int64) for name in self.answer)
        frame = _number_utterances(frame, universe).with_columns(cell=true * size + guess)
        shape = (size**2, len(universe))
        outcomes: dict[Model, Outcome] = {}
        for model, runs in _split_models(frame):
            cells = [
                place_cells(part["utterance"].to_numpy(), part["cell"].to_numpy(), shape) for part in runs.values()
            ]
            outcomes[model] = ClassOutcome([*runs], self.scorers, cells)
        return outcomes

    def _count(self, frame: pl.DataFrame) -> dict[tuple[Any, ...], np.ndarray[Any, Any]]:
        """RUN values -> (n_classes, n_classes) counts, folds pooled."""
        position = {name: index for index, name in enumerate(self.outputs)}
        counts: dict[tuple[Any, ...], np.ndarray[Any, Any]] = {}
        grouped = frame.group_by([*RUN, *self.answer]).len().sort([*RUN, *self.answer])
        for *run, label, predicted, number in grouped.iter_rows():
            table = counts.setdefault(tuple(run), np.zeros((len(self.outputs),) * 2, dtype=np.int64))
            table[position[label], position[predicted]] = number
        return counts


class AttributeQuestion(Question):
    """How strong is each attribute?

    Utterances without a rating of an attribute do not count for it. An attribute that a test corpus has fewer than two ratings of
    has no rows there, and no say in means over attributes.
    """

    kind = "attributes"
    table = schema.ATTRIBUTE_PREDICTIONS
    key = (*RUN, "fold", "utterance_id", "attribute")
    answer = ("attribute", "value", "predicted")

    def check(self, frame: pl.DataFrame) -> None:
        """Refuse other attributes."""
        if unknown := sorted(set(frame["attribute"]) - set(self.outputs)):
            raise DataError(
                f"task {self.task}: {', '.join(unknown)} in the predictions is not among the attributes "
                f"{', '.join(self.outputs)}; the attributes were changed: run the fine-tuning again"
            )

    def average(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One prediction for each parent and attribute, by the mean of values."""
        return average_values(self.task, frame)

    def order(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predictions with a true value, in a fixed order."""
        return super().order(frame).drop_nulls("value")

    def score_runs(self, frame: pl.DataFrame) -> Rows:
        """METRICS rows of all runs."""
        whole, rated = count_utterances(frame), count_utterances(frame, "attribute")
        for run, rows in sorted(frame.partition_by(RUN, as_dict=True).items()):
            base = dict(zip(RUN, run, strict=True))
            setting = name_setting(base)
            (outcome,) = self.collect(rows, rows["utterance_id"].unique().cast(pl.String).sort()).values()
            scores = outcome.scores
            for metric in self.metrics:
                for part in (MEAN, *self.outputs):
                    value = scores.get(f"{metric.name}_{part}")
                    if value is None or not np.isfinite(value[0]):
                        continue
                    counted = rows if part == MEAN else rows.filter(attribute=part)
                    yield {
                        **base,
                        "metric": f"{metric.name}_{part}",
                        "label": None,
                        "value": float(value[0]),
                        # An utterance of a corpus that every fold is tested on counts once.
                        "n": counted["utterance_id"].n_unique(),
                        "n_all": whole[setting] if part == MEAN else rated[*setting, part],
                    }

    def collect(self, frame: pl.DataFrame, universe: pl.Series) -> dict[Model, Outcome]:
        """Model -> its runs on one test corpus, of rows with a true value."""
        # One and the same set for all models, so that their means are over the same attributes.
        rated = frame.group_by("attribute").agg(pl.col("utterance_id").n_unique().alias("n")).filter(pl.col("n") > 1)
        used = [name for name in self.outputs if name in set(rated["attribute"])]
        outcomes: dict[Model, Outcome] = {}
        for model, runs in _split_models(_number_utterances(frame, universe)):
            values = {name: [_take_values(part.filter(attribute=name)) for part in runs.values()] for name in used}
            everything = np.ones((len(runs), len(universe)), dtype=np.bool_)
            outcomes[model] = ValueOutcome([*runs], self.scorers, values, everything)
        return outcomes


QUESTIONS: dict[str, type[Question]] = {question.kind: question for question in (ClassQuestion, AttributeQuestion)}


class Distances:
    """How far fine-tuning moved embeddings, by every metric of embeddings."""

    def __init__(self, paths: Sequence[Path], parents: bool) -> None:
        """Measure them, one file at a time, since embeddings are wide.

        Args:
            paths: EMBEDDINGS tables; may be fewer than there are runs, or none.
            parents: whether values of segments are averaged per parent.
        """
        self.scorers = {metric.name: metric.load() for metric in list_metrics("embeddings")}
        key = [*RUN, "fold", "utterance_id"]
        kinds = {name: pl.Int32 if name in (*RUN_OF_MODEL, "fold") else pl.String for name in key}
        parts = [pl.DataFrame(schema={**kinds, **dict.fromkeys(self.scorers, pl.Float64)})]
        for path in paths:
            table = read_table(path, schema.EMBEDDINGS)
            if not table.num_rows:
                continue
            pair = [np.stack(table.column(name).to_numpy()) for name in ("tuned", "start_point")]
            values = {name: pl.Series(score(*pair)) for name, score in self.scorers.items()}
            part = to_frame(table.select(key)).with_columns(**values)
            if parents:
                part = part.with_columns(name_parent()).group_by(key, maintain_order=True).mean()
            parts.append(part)
        self.frame = pl.concat(parts)

    def score_runs(self) -> Rows:
        """METRICS rows of all runs."""
        means = self.frame.group_by(RUN).agg(pl.col(*self.scorers).mean(), pl.col("utterance_id").n_unique()).sort(RUN)
        whole = count_utterances(self.frame)
        for row in means.iter_rows(named=True):
            base = {name: row[name] for name in RUN} | {"n": row["utterance_id"], "n_all": whole[name_setting(row)]}
            for name in self.scorers:
                yield {**base, "metric": name, "label": None, "value": row[name]}

    def collect(self, test_corpus: str, subset: str) -> dict[Model, Outcome]:
        """Model -> its runs on one test corpus, over all utterances that any model has an embedding of."""
        frame = self.frame.filter(test_corpus=test_corpus, subset=subset)
        universe = frame["utterance_id"].unique().sort()
        outcomes: dict[Model, Outcome] = {}
        for model, runs in _split_models(_number_utterances(frame, universe)):
            counts = np.zeros((len(runs), len(universe)))
            sums = {name: np.zeros_like(counts) for name in self.scorers}
            for row, part in enumerate(runs.values()):
                places = part["utterance"].to_numpy()
                # An utterance that every fold is tested on has several embeddings.
                counts[row] = np.bincount(places, minlength=len(universe))
                for name, values in sums.items():
                    values[row] = np.bincount(places, part[name].to_numpy(), minlength=len(universe))
            outcomes[model] = MeanOutcome([*runs], self.scorers, sums, counts)
        return outcomes


def _number_utterances(frame: pl.DataFrame, universe: pl.Series) -> pl.DataFrame:
    number = pl.col("utterance_id").cast(pl.Enum(universe)).to_physical().cast(pl.Int64)
    return frame.with_columns(utterance=number)


def _split_models(frame: pl.DataFrame) -> Iterator[tuple[Model, Mapping[ScoredRun, pl.DataFrame]]]:
    """Each model with the rows of its runs, in a fixed order."""
    for model, setting in sorted(frame.partition_by(Model._fields, as_dict=True).items()):
        runs = sorted(setting.partition_by(RUN_OF_MODEL, as_dict=True).items())
        yield Model(*map(str, model)), {ScoredRun(*cast(tuple[int, int, int], run)): part for run, part in runs}


def _take_values(part: pl.DataFrame) -> Values:
    return part["utterance"].to_numpy(), part["predicted"].to_numpy(), part["value"].to_numpy()
