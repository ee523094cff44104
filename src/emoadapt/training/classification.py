"""What the two classifiers, fine-tuned and handcrafted, share: partitions, learner, runs and their tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_f1_score

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.flow.store import read_table, write_table
from emoadapt.training.trainer import Curve, Learner, Term

if TYPE_CHECKING:
    from emoadapt.config import Finetuning

RunKey = tuple[int, int, int]
"""(resampling, fold, seed)."""


@dataclass(frozen=True)
class Setting:
    """What the runs of a job have in common."""

    task: str
    backbone: str
    start: str
    subset: str

    def name(self, run: RunKey) -> str:
        """Name of a run: in curves, and of the folder of a kept model."""
        resampling, fold, seed = run
        return f"{self.task}.{self.backbone}.{self.start}.{self.subset}.r{resampling}f{fold}s{seed}"

    def columns(self, run: RunKey) -> dict[str, Any]:
        """Values of the `RUN_COLUMNS`."""
        keys = dict(zip(("resampling", "fold", "seed"), run, strict=True))
        return {"task": self.task, "backbone": self.backbone, "start": self.start, "subset": self.subset, **keys}


@dataclass(frozen=True)
class Partition:
    """Clips of one run: utterances to train and develop on, and the rows of SPLITS to test on."""

    train: list[str]
    dev: list[str]
    test: pl.DataFrame


class LabelledClips:
    """Splits and subsets of a task.

    Args:
        splits: SPLITS table.
        subsets: SUBSETS table.
        classes: in the order of the logits.
        usable: utterances that have the input; others are left out and counted.
        soft: whether the targets are the shares of the classes in the raters' votes.

    Raises:
        TrainingError: the targets are to be soft, and no clip has votes.
    """

    def __init__(
        self, splits: Path, subsets: Path, classes: Sequence[str], usable: Collection[str], *, soft: bool = False
    ) -> None:
        self.splits: pl.DataFrame = pl.from_arrow(read_table(splits, schema.SPLITS))  # type: ignore[assignment]
        self.subsets: pl.DataFrame = pl.from_arrow(read_table(subsets, schema.SUBSETS))  # type: ignore[assignment]
        self.classes = tuple(classes)
        position = {name: index for index, name in enumerate(classes)}
        labelled = self.splits.select("utterance_id", "label").unique()
        self.labels = {name: position[label] for name, label in labelled.iter_rows()}
        self.shares = self._read_shares() if soft else None
        self.usable = usable
        self.left_out: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The label of a clip as a class index; where targets are soft, also its shares of the classes."""
        label = torch.tensor(self.labels[utterance_id])
        if self.shares is None:
            return {"label": label}
        sure = nn.functional.one_hot(label, len(self.classes)).float()
        return {"label": label, "shares": self.shares.get(utterance_id, sure)}

    def select(self, run: RunKey) -> Partition:
        """Clips of a run.

        Raises:
            TrainingError: train, dev or test has none.
        """
        resampling, fold, _ = run
        train = self.subsets.filter(fold=fold, resampling=resampling)["utterance_id"]
        of_fold = self.splits.filter(fold=fold)
        test = of_fold.filter(split="test").sort("corpus", "utterance_id")
        names = {
            "train": self._keep("train", train),
            "dev": self._keep("dev", of_fold.filter(split="dev")["utterance_id"]),
            "test": self._keep("test", test["utterance_id"]),
        }
        if empty := [part for part, members in names.items() if not members]:
            raise TrainingError(
                f"resampling {resampling}, fold {fold}: no usable clip in {' and '.join(empty)}; "
                "see `emoadapt quarantine`, or choose another split"
            )
        return Partition(names["train"], names["dev"], test.filter(pl.col("utterance_id").is_in(names["test"])))

    def count_left_out(self) -> dict[str, str]:
        """Provenance: clips of the selected runs that had no usable input."""
        counts = {part: str(len(names)) for part, names in self.left_out.items()}
        return {"left_out": counts["test"], "left_out_train": counts["train"], "left_out_dev": counts["dev"]}

    def weigh_classes(self, train: Sequence[str]) -> Tensor:
        """Inverse frequency of each class among `train`, mean 1 over clips; 1 for a class without clips."""
        counts = np.bincount([self.labels[name] for name in train], minlength=len(self.classes))
        present = int((counts > 0).sum())
        weights = np.where(counts > 0, len(train) / (present * np.maximum(counts, 1)), 1.0)
        return torch.from_numpy(weights.astype(np.float32))

    def _read_shares(self) -> dict[str, Tensor]:
        voted = self.splits.select("utterance_id", "soft").drop_nulls().unique("utterance_id")
        if voted.is_empty():
            raise TrainingError(
                "finetuning.targets is soft, and no clip of the task has raters' votes; set it to hard, or take a corpus "
                "whose labels hold votes"
            )
        return {name: torch.tensor(shares) for name, shares in voted.iter_rows()}

    def _keep(self, part: str, names: pl.Series) -> list[str]:
        self.left_out[part].update(name for name in names if name not in self.usable)
        return [name for name in names if name in self.usable]


class EmotionLearner(Learner):
    """Cross-entropy on the classes; the epoch with the best dev macro-F1 is kept, of equals the one with the smaller dev loss.

    Args:
        model: batch -> (embedding (batch, width), logits (batch, n_classes)).
        settings: optimiser and learning rate.
        curve: collects losses and scores.
        seed: of dropout.
        class_weights: (n_classes,) weights of the cross-entropy, or None.
    """

    def __init__(
        self, model: nn.Module, settings: Finetuning, curve: Curve, seed: int, class_weights: Tensor | None
    ) -> None:
        super().__init__(model, settings, curve, "dev", seed, {"cross_entropy": 1.0})
        self.register_buffer("class_weights", class_weights, persistent=False)
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._tested: list[tuple[list[str], Tensor, Tensor]] = []

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Cross-entropy with labels or shares, weighted by class and smoothed if wanted."""
        _, logits = self.model(batch)
        logits, labels = logits.float(), batch.values["label"]
        shares = batch.values.get("shares")
        loss = nn.functional.cross_entropy(
            logits,
            labels if shares is None else shares,
            weight=self.class_weights,
            label_smoothing=self.settings.label_smoothing,
        )
        # What torch divides by: the sum of the labels' weights, or with shares the number of clips.
        plain = self.class_weights is None or shares is not None
        weight = torch.ones_like(labels).sum() if plain else self.class_weights[labels].sum()
        if keep:
            self._kept.append((logits.detach().cpu(), labels.cpu()))
        return {"cross_entropy": Term(loss, weight)}

    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """Macro-F1 over the whole part.

        From torchmetrics rather than `emoadapt.evaluation`, on which no training may depend: a change of the reported
        metrics must not make trained models stale.
        """
        logits, labels = (torch.cat(tensors) for tensors in zip(*self._kept, strict=True))
        self._kept = []
        macro_f1 = float(multiclass_f1_score(logits, labels, num_classes=logits.shape[1], average="macro"))
        return {"macro_f1": macro_f1}, (macro_f1, -losses["loss"])

    def test_step(self, batch: Batch) -> None:
        """Collect embeddings and logits."""
        embedding, logits = self.model(batch)
        self._tested.append((batch.utterance_ids, embedding.float().cpu(), logits.float().cpu()))

    def take_tested(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Utterance -> (embedding (width,), logits (n_classes,)) of what was tested since the last call."""
        tested, self._tested = self._tested, []
        return {
            name: (embedding, scores)
            for names, embeddings, logits in tested
            for name, embedding, scores in zip(names, embeddings.numpy(), logits.numpy(), strict=True)
        }


@dataclass
class RunTables:
    """Predictions, embeddings and curves of the runs of a job."""

    setting: Setting
    classes: Sequence[str]
    predictions: list[pa.Table] = field(default_factory=list)
    embeddings: list[pa.Table] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)

    def add_predictions(self, run: RunKey, test: pl.DataFrame, logits: np.ndarray) -> None:
        """Add (n_test, n_classes) logits of the rows of `test`."""
        predicted = [self.classes[index] for index in logits.argmax(axis=1)]
        columns = test.select("utterance_id", "speaker", "sex", "label", test_corpus="corpus").with_columns(
            predicted=pl.Series(predicted, dtype=pl.String)
        )
        self.predictions.append(self._table(schema.PREDICTIONS, run, columns, logits=logits))

    def add_embeddings(self, run: RunKey, test: pl.DataFrame, tuned: np.ndarray, start_point: np.ndarray) -> None:
        """Add (n_test, width) pooled embeddings of the fine-tuned model and of its starting point."""
        columns = test.select("utterance_id", test_corpus="corpus")
        self.embeddings.append(self._table(schema.EMBEDDINGS, run, columns, tuned=tuned, start_point=start_point))

    def write(self, predictions: Path, embeddings: Path, curves: Path, provenance: Mapping[str, str]) -> None:
        """Write the three tables."""
        write_table(curves, self.curves, schema.CURVES, provenance)
        for path, tables, columns in (
            (embeddings, self.embeddings, schema.EMBEDDINGS),
            (predictions, self.predictions, schema.PREDICTIONS),
        ):
            write_table(path, pa.concat_tables([columns.empty_table(), *tables]), columns, provenance)

    def _table(self, columns: pa.Schema, run: RunKey, rows: pl.DataFrame, **matrices: np.ndarray) -> pa.Table:
        values: dict[str, Any] = {name: [value] * len(rows) for name, value in self.setting.columns(run).items()}
        values |= {name: rows[name].to_list() for name in rows.columns}
        # Arrow lists straight from the matrix: as Python lists, a test set's embeddings would take ten times the memory.
        values |= {name: _make_lists(matrix) for name, matrix in matrices.items()}
        return pa.Table.from_arrays(
            [
                pa.array(values[field.name], field.type) if isinstance(values[field.name], list) else values[field.name]
                for field in columns
            ],
            schema=columns,
        )


def _make_lists(matrix: np.ndarray) -> pa.ListArray:
    n, width = matrix.shape
    values = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * width), values)
