"""Labelled clips of a task with classes.

Imports torch on demand: support vector machines do not need it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.study.nodes import Run
from emoadapt.training.curve import Curve
from emoadapt.training.runs import RunClips, TaskClips
from emoadapt.training.scores import measure_macro_f1

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoadapt.training.classification import EmotionLearner
    from emoadapt.training.terms import FurtherTerm

logger = logging.getLogger(__name__)


class LabelledClips(TaskClips):
    """The clips of a task of classes.

    Args:
        splits: SPLITS rows.
        subsets: SUBSETS rows.
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
        self,
        splits: pl.DataFrame,
        subsets: pl.DataFrame,
        classes: Sequence[str],
        usable: Collection[str],
        *,
        soft: bool = False,
    ) -> None:
        super().__init__(splits, subsets, classes, usable)
        self.classes = self.outputs
        position = {name: index for index, name in enumerate(classes)}
        labelled = self.splits.select("utterance_id", "label").drop_nulls("label").unique()
        self.labels = {name: position[label] for name, label in labelled.iter_rows()}
        self.shares = self._read_shares() if soft else None

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The label of a clip as a class index; where targets are soft, also its shares of the classes.

        Nothing of a clip of a target, whose labels no training reads.
        """
        import torch

        label = self.labels.get(utterance_id)
        if label is None:
            return {}
        if self.shares is None:
            return {"label": torch.tensor(label)}
        shares = self.shares.get(utterance_id, np.eye(len(self.classes), dtype=np.float32)[label])
        return {"label": torch.tensor(label), "shares": torch.from_numpy(shares)}

    def select(self, run: Run) -> RunClips:
        """Clips of a run.

        Raises:
            TrainingError: a part has none, or a class has no training clip with usable input.
        """
        part = super().select(run)
        present = {self.labels[name] for name in part.train}
        if lost := [name for place, name in enumerate(self.classes) if place not in present]:
            raise TrainingError(
                f"run {run}: no training clip of {' and '.join(lost)} has usable input, so the model cannot learn the class; "
                "see `emoadapt quarantine`, or choose another split or larger subsets"
            )
        return part

    def build_learner(
        self,
        model: nn.Module,
        settings: Any,
        curve: Curve,
        seed: int,
        train: Sequence[str],
        terms: Sequence[FurtherTerm] = (),
    ) -> EmotionLearner:
        """A learner of these classes, weighted by their frequency among `train` if wanted."""
        import torch

        from emoadapt.training.classification import EmotionLearner

        weights = torch.from_numpy(self.weigh_classes(train)) if settings.class_weights == "balanced" else None
        return EmotionLearner(model, settings, curve, seed, weights, terms)

    def tabulate(self, test: pl.DataFrame, outputs: np.ndarray) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        """A row per clip, with its (n_test, n_classes) logits and the class that has the largest."""
        predicted = [self.classes[index] for index in outputs.argmax(axis=1)]
        rows = test.select("utterance_id", "speaker", "sex", "label", test_corpus="corpus")
        return rows.with_columns(predicted=pl.Series(predicted, dtype=pl.String)), {"logits": outputs}

    def gather(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
        """Clips and their (n_test, n_classes) logits."""
        return rows.select("utterance_id"), np.array(rows["logits"].to_list())

    def score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """Macro-F1 over all classes of the task."""
        if test.is_empty():
            return None
        return measure_macro_f1(outputs, np.array([self.labels[name] for name in test["utterance_id"]]))

    def weigh_classes(self, train: Sequence[str]) -> np.ndarray:
        """Inverse frequency of each class among `train`, mean 1 over clips; 1 for a class without clips."""
        counts = np.bincount([self.labels[name] for name in train], minlength=len(self.classes))
        present = int((counts > 0).sum())
        weights = np.where(counts > 0, len(train) / (present * np.maximum(counts, 1)), 1.0)
        return weights.astype(np.float32)

    def _read_shares(self) -> dict[str, np.ndarray]:
        voted = self.splits.select("utterance_id", "soft").drop_nulls().unique("utterance_id")
        if voted.is_empty():
            raise TrainingError(
                "targets is soft, but no clip of the task has raters' votes; set targets: hard, or choose a corpus "
                "with votes"
            )
        if silent := len(self.labels) - voted.height:
            logger.info(
                "%d of the %d clips have no vote for a class of the task; their targets are hard",
                silent,
                len(self.labels),
            )
        return {name: np.array(shares, dtype=np.float32) for name, shares in voted.iter_rows()}
