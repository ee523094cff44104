"""The rated clips of a task of attributes."""

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

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoadapt.layers.heads import ScaledHead
    from emoadapt.training.regression import AttributeLearner
    from emoadapt.training.terms import FurtherTerm

logger = logging.getLogger(__name__)


class RatedClips(TaskClips):
    """The clips of a task of attributes.

    Args:
        splits: SPLITS rows.
        subsets: SUBSETS rows.
        attributes: in the order of the outputs.
        usable: utterances that have the input; others are left out and counted.
    """

    kind = "attributes"
    metric = "mean CCC"
    table = schema.ATTRIBUTE_PREDICTIONS

    def __init__(
        self, splits: pl.DataFrame, subsets: pl.DataFrame, attributes: Sequence[str], usable: Collection[str]
    ) -> None:
        super().__init__(splits, subsets, attributes, usable)
        rated = self.splits.select("utterance_id", *attributes).unique("utterance_id", keep="first")
        self.ratings: dict[str, list[float]] = {
            name: [np.nan if value is None else value for value in values] for name, *values in rated.iter_rows()
        }

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The (n_attributes,) values of a clip in the corpus's scale; NaN = not rated."""
        import torch

        return {"ratings": torch.tensor(self.ratings[utterance_id], dtype=torch.float32)}

    def select(self, run: Run) -> RunClips:
        """Select the clips of a run; log attributes that dev cannot score.

        Raises:
            TrainingError: a part has none, or dev has no two that are rated for one attribute.
        """
        part = super().select(run)
        counts = np.sum(~np.isnan([self.ratings[name] for name in part.dev]), axis=0)
        unrated = [name for name, count in zip(self.outputs, counts, strict=True) if count < 2]
        found = f"run {run}: fewer than two of the {len(part.dev)} dev clips are rated for {' or '.join(unrated)}"
        if len(unrated) == len(self.outputs):
            raise TrainingError(f"{found}, so no epoch can be chosen; choose another split")
        if unrated:
            logger.warning("%s: the epoch is chosen without", found)
        return part

    def build_head(self, settings: Any, width: int, hidden: int | None, seed: int, train: Sequence[str]) -> ScaledHead:
        """A new head, with the scale of the values of `train` behind it.

        Raises:
            TrainingError: none of these clips is rated for one of the attributes.
        """
        from emoadapt.layers.heads import ScaledHead

        values = np.array([self.ratings[name] for name in train])
        for name, column in zip(self.outputs, values.T, strict=True):
            if np.isnan(column).all():
                raise TrainingError(
                    f"none of the {len(train)} training clips is rated for {name}; use more clips, or remove {name} from the attributes"
                )
        std = np.nanstd(values, axis=0)
        head = super().build_head(settings, width, hidden, seed, train)
        return ScaledHead(head, np.nanmean(values, axis=0).tolist(), np.where(std > 0, std, 1.0).tolist())

    def build_learner(
        self,
        model: nn.Module,
        settings: Any,
        curve: Curve,
        seed: int,
        train: Sequence[str],
        terms: Sequence[FurtherTerm] = (),
    ) -> AttributeLearner:
        """A learner of these attributes."""
        from emoadapt.training.regression import AttributeLearner

        return AttributeLearner(model, settings, curve, seed, self.outputs, terms)

    def tabulate(self, test: pl.DataFrame, outputs: np.ndarray) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        """A row per clip and attribute, by clip."""
        rows = test.select("utterance_id", "speaker", "sex", test_corpus="corpus")
        parts = [
            rows.with_columns(
                attribute=pl.lit(name), value=test[name], predicted=pl.Series(outputs[:, place], dtype=pl.Float64)
            ).with_row_index("place")
            for place, name in enumerate(self.outputs)
        ]
        return pl.concat(parts).sort("place", maintain_order=True).drop("place"), {}

    def gather(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
        """Clips and their (n_test, n_attributes) values; rows of a clip are one after another."""
        outputs = rows["predicted"].to_numpy(writable=True).reshape(-1, len(self.outputs))
        return rows.select("utterance_id").gather_every(len(self.outputs)), outputs

    def score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """Mean over the attributes of their CCC over the clips that are rated."""
        import torch

        from emoadapt.training.regression import concord

        truth = torch.tensor([self.ratings[name] for name in test["utterance_id"]], dtype=torch.float64)
        found = concord(torch.from_numpy(outputs).double(), truth.reshape(-1, len(self.outputs)))
        defined = [value for value in found if value is not None]
        return sum(defined) / len(defined) if defined else None
