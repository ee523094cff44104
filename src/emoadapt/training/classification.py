"""Tasks of classes: labelled clips and the learner that tells their classes apart."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.training.curve import Curve
from emoadapt.training.runs import Partition, RunKey, TaskClips, TestedLearner
from emoadapt.training.totals import Term

if TYPE_CHECKING:
    from emoadapt.config import Finetuning

logger = logging.getLogger(__name__)


class LabelledClips(TaskClips):
    """The clips of a task of classes.

    Args:
        splits: SPLITS table.
        subsets: SUBSETS table.
        classes: in the order of the logits.
        usable: utterances that have the input; others are left out and counted.
        soft: whether the targets are the shares of the classes in the raters' votes.

    Raises:
        TrainingError: the targets are to be soft, and no clip has votes.
    """

    kind = "classes"
    metric = "macro-F1"
    table = schema.PREDICTIONS

    def __init__(
        self, splits: Path, subsets: Path, classes: Sequence[str], usable: Collection[str], *, soft: bool = False
    ) -> None:
        super().__init__(splits, subsets, classes, usable)
        self.classes = self.outputs
        position = {name: index for index, name in enumerate(classes)}
        labelled = self.splits.select("utterance_id", "label").unique()
        self.labels = {name: position[label] for name, label in labelled.iter_rows()}
        self.shares = self._read_shares() if soft else None

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
            TrainingError: a part has none, or a class has no training clip with usable input.
        """
        part = super().select(run)
        present = {self.labels[name] for name in part.train}
        if lost := [name for place, name in enumerate(self.classes) if place not in present]:
            raise TrainingError(
                f"resampling {run[0]}, fold {run[1]}: no training clip of {' and '.join(lost)} has usable input, so that the class "
                "could not be learned; see `emoadapt quarantine`, or choose another split or larger subsets"
            )
        return part

    def build_learner(
        self, model: nn.Module, settings: Finetuning, curve: Curve, seed: int, train: Sequence[str]
    ) -> EmotionLearner:
        """A learner of these classes, weighted by their frequency among `train` if wanted."""
        weights = self.weigh_classes(train) if settings.class_weights == "balanced" else None
        return EmotionLearner(model, settings, curve, seed, weights)

    def tabulate(self, test: pl.DataFrame, outputs: np.ndarray) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        """A row per clip, with its (n_test, n_classes) logits and the class that has the largest."""
        predicted = [self.classes[index] for index in outputs.argmax(axis=1)]
        rows = test.select("utterance_id", "speaker", "sex", "label", test_corpus="corpus")
        return rows.with_columns(predicted=pl.Series(predicted, dtype=pl.String)), {"logits": outputs}

    def score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """Macro-F1 over all classes of the task."""
        if test.is_empty():
            return None
        labels = torch.tensor([self.labels[name] for name in test["utterance_id"]])
        return measure_macro_f1(torch.from_numpy(outputs), labels)

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
        if silent := len(self.labels) - voted.height:
            logger.info(
                "%d of the %d clips have no vote for a class of the task; their targets are hard",
                silent,
                len(self.labels),
            )
        return {name: torch.tensor(shares) for name, shares in voted.iter_rows()}


class EmotionLearner(TestedLearner):
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
        super().__init__(model, settings, curve, seed, {"cross_entropy": 1.0})
        self.register_buffer("class_weights", class_weights, persistent=False)

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
        """Macro-F1 over the whole part."""
        logits, labels = (torch.cat(tensors) for tensors in zip(*self._kept, strict=True))
        macro_f1 = measure_macro_f1(logits, labels)
        return {"macro_f1": macro_f1}, (macro_f1, -losses["loss"])


def measure_macro_f1(logits: Tensor, labels: Tensor) -> float:
    """Macro-F1 over all classes; a class that neither is there nor was predicted counts as 0.

    Not from `emoadapt.evaluation`, on which no training may depend: a change of the reported metrics must not make trained
    models stale.

    Args:
        logits: (n, n_classes).
        labels: (n,) class indices.
    """
    n_classes = logits.shape[1]
    predicted = logits.argmax(dim=1)
    hits = torch.bincount(labels[predicted == labels], minlength=n_classes)
    counts = torch.bincount(labels, minlength=n_classes) + torch.bincount(predicted, minlength=n_classes)
    return float((2 * hits / counts.clamp_min(1)).mean())
