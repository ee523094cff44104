"""Runs of a task, their clips and their tables. Without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.flow.provenance import library_versions
from emoadapt.storage.tables import write_table
from emoadapt.study.nodes import Run, Setting
from emoadapt.tasks.divisions import PARTS, UNLABELLED
from emoadapt.training.curve import Curve

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoadapt.layers.heads import Head
    from emoadapt.training.learner import TestedLearner
    from emoadapt.training.terms import FurtherTerm


@dataclass(frozen=True)
class RunClips:
    """Clips of one run: utterances to train and develop on, the rows of SPLITS to test on, and those to read without labels."""

    train: list[str]
    dev: list[str]
    test: pl.DataFrame
    unlabelled: list[str] = field(default_factory=list)


class TaskClips(ABC):
    """Splits and subsets of a task, and how its question is learned and answered.

    Args:
        splits: SPLITS rows.
        subsets: SUBSETS rows: the training clips of each run.
        outputs: what the model's outputs stand for, in their order.
        usable: utterances that have the input; others are left out and counted.
    """

    kind: Literal["classes", "attributes"]
    """What the outputs stand for."""
    metric: str
    """What the dev part chooses the epoch by, in words."""
    table: pa.Schema
    """Of the predictions."""

    def __init__(
        self, splits: pl.DataFrame, subsets: pl.DataFrame, outputs: Sequence[str], usable: Collection[str]
    ) -> None:
        self.splits = splits
        self.subsets = subsets
        self.outputs = tuple(outputs)
        self.usable = usable
        self.left_out: dict[str, set[str]] = {part: set() for part in (*PARTS, UNLABELLED)}

    @abstractmethod
    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The targets of a clip."""

    @abstractmethod
    def build_learner(
        self,
        model: nn.Module,
        settings: Any,
        curve: Curve,
        seed: int,
        train: Sequence[str],
        terms: Sequence[FurtherTerm] = (),
    ) -> TestedLearner:
        """A learner for this task, with further loss terms.

        What it takes from the data, it takes from `train`, the utterances to train on.
        """

    @abstractmethod
    def tabulate(self, test: pl.DataFrame, outputs: np.ndarray) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        """Rows of `table` without the run's columns, of the (n_test, n_outputs) outputs; matrices for columns of lists."""

    @abstractmethod
    def gather(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
        """The inverse of `tabulate`, as `score` takes it: clips, and their (n_test, n_outputs) outputs."""

    @abstractmethod
    def score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """`metric` of (n_test, n_outputs) outputs, over what the rows of `test` have; None where it is not defined."""

    def build_head(self, settings: Any, width: int, hidden: int | None, seed: int, train: Sequence[str]) -> Head:
        """A new head; its weights depend on the seed only.

        Args:
            settings: kind of head.
            width: dimension of its input.
            hidden: units between its layers.
            seed: of the initial weights.
            train: utterances to train on.
        """
        from emoadapt.layers.heads import build_head

        dropout = getattr(settings, "head_dropout", None)
        return build_head(settings.head, width, hidden, len(self.outputs), seed, dropout)

    def select(self, run: Run) -> RunClips:
        """Clips of a run.

        Raises:
            TrainingError: train, dev or test has none.
        """
        place = {"partition": run.partition, "fold": run.fold}
        of_fold = self.splits.filter(**place)
        train = self.subsets.filter(resampling=run.resampling, **place)
        test = of_fold.filter(split="test").sort("corpus", "utterance_id")
        names = {
            "train": self._keep("train", train["utterance_id"]),
            "dev": self._keep("dev", of_fold.filter(split="dev")["utterance_id"]),
            "test": self._keep("test", test["utterance_id"]),
        }
        if empty := [part for part, members in names.items() if not members]:
            raise TrainingError(
                f"run {run}: no usable clip in {' and '.join(empty)}; "
                "see `emoadapt quarantine`, or choose another split"
            )
        unlabelled = self._keep(UNLABELLED, of_fold.filter(split=UNLABELLED)["utterance_id"])
        tested = test.filter(pl.col("utterance_id").is_in(names["test"]))
        return RunClips(names["train"], names["dev"], tested, unlabelled)

    def count_left_out(self) -> dict[str, str]:
        """Provenance: clips of the selected runs that had no usable input."""
        counts = {f"left_out_{part}": str(len(names)) for part, names in self.left_out.items()}
        return {"left_out": counts.pop("left_out_test"), **counts}

    def _keep(self, part: str, names: pl.Series) -> list[str]:
        self.left_out[part].update(name for name in names if name not in self.usable)
        return [name for name in names if name in self.usable]


@dataclass
class RunTables:
    """Predictions, embeddings, training clips and curves of the runs of a job, by run.

    Args:
        setting: of the job.
        clips: of its task.
    """

    setting: Setting
    clips: TaskClips
    predictions: dict[Run, pa.Table] = field(default_factory=dict)
    embeddings: dict[Run, pa.Table] = field(default_factory=dict)
    training_clips: dict[Run, pa.Table] = field(default_factory=dict)
    curves: dict[Run, pa.Table] = field(default_factory=dict)

    def add_predictions(self, run: Run, test: pl.DataFrame, outputs: np.ndarray) -> None:
        """Add (n_test, n_outputs) outputs of the rows of `test`.

        Raises:
            TrainingError: a method gave others, or some that say nothing.
        """
        self._check_outputs(run, test, outputs)
        rows, matrices = self.clips.tabulate(test, outputs)
        self.predictions[run] = self._table(self.clips.table, run, rows, **matrices)

    def add_embeddings(self, run: Run, test: pl.DataFrame, tuned: np.ndarray, start_point: np.ndarray) -> None:
        """Add (n_test, width) pooled embeddings of the fine-tuned model and of its starting point."""
        columns = test.select("utterance_id", test_corpus="corpus")
        self.embeddings[run] = self._table(schema.EMBEDDINGS, run, columns, tuned=tuned, start_point=start_point)

    def add_training_clips(self, run: Run, names: Sequence[str], **columns: np.ndarray | Sequence[Any]) -> None:
        """Add columns of TRAINING_CLIPS, (n_clips, ...) each; those that are not given are null."""
        empty = dict.fromkeys({"embedding", "outputs", "use", "residuals"} - columns.keys(), [None] * len(names))
        rows = pl.DataFrame({"utterance_id": names})
        self.training_clips[run] = self._table(schema.TRAINING_CLIPS, run, rows, **columns, **empty)

    def add_curve(self, run: Run, curve: Curve) -> None:
        """Add the curve of a run."""
        self.curves[run] = pa.Table.from_pylist(curve.rows, schema=schema.CURVES)

    def parts(self) -> list[tuple[str, pa.Schema, dict[Run, pa.Table]]]:
        """(name, columns, tables by run) of each kind."""
        return [
            ("curves", schema.CURVES, self.curves),
            ("embeddings", schema.EMBEDDINGS, self.embeddings),
            ("predictions", self.clips.table, self.predictions),
            ("training_clips", schema.TRAINING_CLIPS, self.training_clips),
        ]

    def write(self, folder: Path) -> None:
        """Write the tables, runs in the order in which they were done."""
        counted = self.clips.count_left_out() | self._count_uses() | library_versions()
        for name, columns, tables in self.parts():
            whole = pa.concat_tables([columns.empty_table(), *tables.values()])
            write_table(folder / f"{name}.parquet", whole, columns, counted)

    def _count_uses(self) -> dict[str, str]:
        """Provenance: training clips of all runs by what a further loss term made of them."""
        uses = Counter(use for table in self.training_clips.values() for use in table.column("use").to_pylist() if use)
        return {f"training_clips_{use}": str(count) for use, count in sorted(uses.items())}

    def _check_outputs(self, run: Run, test: pl.DataFrame, outputs: np.ndarray) -> None:
        """Refuse outputs whose answer would be drawn from nothing: of NaN, argmax names the first class."""
        name, wanted = self.setting.name(run), (len(test), len(self.clips.outputs))
        if outputs.shape != wanted:
            raise TrainingError(
                f"{name}: the outputs have the shape {outputs.shape}, and {wanted} is needed: a row for each test clip, and a "
                f"column for each of {', '.join(self.clips.outputs)}; correct the training method"
            )
        # The logarithm of a probability of 0 may stand for a class, if another one is larger.
        told = ~np.isnan(outputs).any(axis=1) & np.isfinite(outputs.max(axis=1))
        if self.clips.kind == "attributes":
            told = np.isfinite(outputs).all(axis=1)
        if not told.all():
            raise TrainingError(
                f"{name}: outputs of {(~told).sum()} of {len(test)} test clips are not finite, the first of "
                f"{test['utterance_id'][int((~told).argmax())]}; look for NaN in the features, or correct the training method"
            )

    def _describe(self, run: Run) -> dict[str, Any]:
        """Values of the `RUN_COLUMNS`."""
        setting = self.setting
        return {"task": setting.task, **setting.model._asdict(), "subset": setting.subset, **asdict(run)}

    def _table(self, columns: pa.Schema, run: Run, rows: pl.DataFrame, **matrices: Any) -> pa.Table:
        values: dict[str, Any] = {name: [value] * len(rows) for name, value in self._describe(run).items()}
        values |= {name: rows[name].to_list() for name in rows.columns}
        # Arrow lists straight from the matrix: as Python lists, a test set's embeddings would take ten times the memory.
        values |= {name: _make_lists(m) if isinstance(m, np.ndarray) else list(m) for name, m in matrices.items()}
        return pa.Table.from_arrays(
            [
                pa.array(values[field.name], field.type)
                if isinstance(values[field.name], list)
                else values[field.name].cast(field.type)
                for field in columns
            ],
            schema=columns,
        )


def _make_lists(matrix: np.ndarray) -> pa.ListArray:
    n, width = matrix.shape
    kind = np.float64 if matrix.dtype == np.float64 else np.float32
    values = pa.array(np.ascontiguousarray(matrix, dtype=kind).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * width), values)
