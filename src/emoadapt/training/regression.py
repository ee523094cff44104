"""Tasks of attributes: rated clips and the learner that predicts their values, by concordance.

The loss of an attribute is 1 - CCC over the clips of a batch that are rated for it (Trigeorgis et al. 2016, "Adieu features?
End-to-end speech emotion recognition using a deep convolutional recurrent network", Sec. 3.2), the total their sum. What is
reported is the CCC over a whole part.

The model's outputs are in the corpus's own scale: behind the head stands a fixed affine map with the mean and standard deviation
of the training clips' values. The CCC is the same before and after the map, and so is learning, whatever the scale.
"""

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
from emoadapt.layers.heads import ScaledHead
from emoadapt.training.curve import Curve
from emoadapt.training.runs import Partition, RunKey, TaskClips, TestedLearner
from emoadapt.training.totals import Term, name_losses

if TYPE_CHECKING:
    from emoadapt.config import Finetuning

logger = logging.getLogger(__name__)


def measure_concordance(prediction: Tensor, target: Tensor) -> Tensor:
    """Concordance correlation coefficient (Lin 1989, Biometrics 45), with variances and covariance over n.

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2)

    Args:
        prediction: (n,) float, n >= 1.
        target: (n,) float.

    Returns:
        Scalar in [-1, 1]; 0, not NaN, where all predictions and targets are one and the same number.
    """
    centred_prediction, centred_target = prediction - prediction.mean(), target - target.mean()
    covariance = (centred_prediction * centred_target).mean()
    distance = (prediction.mean() - target.mean()).square()
    spread = centred_prediction.square().mean() + centred_target.square().mean() + distance
    return 2 * covariance / spread.clamp_min(torch.finfo(spread.dtype).tiny)


class RatedClips(TaskClips):
    """The clips of a task of attributes.

    Args:
        splits: SPLITS table.
        subsets: SUBSETS table.
        attributes: in the order of the outputs.
        usable: utterances that have the input; others are left out and counted.
    """

    kind = "attributes"
    metric = "mean CCC"
    table = schema.ATTRIBUTE_PREDICTIONS

    def __init__(self, splits: Path, subsets: Path, attributes: Sequence[str], usable: Collection[str]) -> None:
        super().__init__(splits, subsets, attributes, usable)
        rated = self.splits.select("utterance_id", *attributes).unique("utterance_id", keep="first")
        self.ratings: dict[str, list[float]] = {
            name: [np.nan if value is None else value for value in values] for name, *values in rated.iter_rows()
        }

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The (n_attributes,) values of a clip in the corpus's scale; NaN = not rated."""
        return {"ratings": torch.tensor(self.ratings[utterance_id], dtype=torch.float32)}

    def select(self, run: RunKey) -> Partition:
        """Clips of a run; an attribute that does not help to choose the epoch is named in the log.

        Raises:
            TrainingError: a part has none, or dev has no two that are rated for one attribute.
        """
        part = super().select(run)
        counts = np.sum(~np.isnan([self.ratings[name] for name in part.dev]), axis=0)
        unrated = [name for name, count in zip(self.outputs, counts, strict=True) if count < 2]
        found = (
            f"resampling {run[0]}, fold {run[1]}: of the {len(part.dev)} clips of the dev part no two are rated for "
            f"{' or '.join(unrated)}"
        )
        if len(unrated) == len(self.outputs):
            raise TrainingError(f"{found}, so that no epoch could be chosen; choose another split")
        if unrated:
            logger.warning("%s: the epoch is chosen without", found)
        return part

    def build_head(
        self, settings: Finetuning, width: int, hidden: int | None, seed: int, train: Sequence[str]
    ) -> ScaledHead:
        """A new head, with the scale of the values of `train` behind it.

        Raises:
            TrainingError: none of these clips is rated for one of the attributes.
        """
        values = np.array([self.ratings[name] for name in train])
        for name, column in zip(self.outputs, values.T, strict=True):
            if np.isnan(column).all():
                raise TrainingError(
                    f"none of the {len(train)} training clips is rated for {name}; take more of them, or leave {name} out"
                )
        std = np.nanstd(values, axis=0)
        head = super().build_head(settings, width, hidden, seed, train)
        return ScaledHead(head, np.nanmean(values, axis=0).tolist(), np.where(std > 0, std, 1.0).tolist())

    def build_learner(
        self, model: nn.Module, settings: Finetuning, curve: Curve, seed: int, train: Sequence[str]
    ) -> AttributeLearner:
        """A learner of these attributes."""
        return AttributeLearner(model, settings, curve, seed, self.outputs)

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

    def score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """Mean over the attributes of their CCC over the clips that are rated."""
        truth = torch.tensor([self.ratings[name] for name in test["utterance_id"]], dtype=torch.float64)
        found = _concord(torch.from_numpy(outputs).double(), truth.reshape(-1, len(self.outputs)))
        defined = [value for value in found if value is not None]
        return sum(defined) / len(defined) if defined else None


class AttributeLearner(TestedLearner):
    """1 - CCC, summed over the attributes; the epoch with the best mean of the dev part's CCC is kept.

    Args:
        model: batch -> (embedding (batch, width), values (batch, n_attributes) in the corpus's scale).
        settings: optimiser and learning rate.
        curve: collects losses and scores.
        seed: of dropout.
        attributes: in the order of the values.
    """

    def __init__(
        self, model: nn.Module, settings: Finetuning, curve: Curve, seed: int, attributes: Sequence[str]
    ) -> None:
        super().__init__(model, settings, curve, seed, dict.fromkeys(attributes, 1.0))

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """A term per attribute, over the clips that are rated for it; of fewer than two of them nothing can be learned."""
        _, values = self.model(batch)
        values, ratings = values.float(), batch.values["ratings"]
        if keep:
            self._kept.append((values.detach().cpu(), ratings.cpu()))
        return {name: self._weigh(values[:, place], ratings[:, place]) for place, name in enumerate(self.weights)}

    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """CCC of each attribute over the whole part, and their mean."""
        found = self._rate_whole()
        mean = sum(found.values()) / len(found) if found else 0.0
        return {"ccc_mean": mean} | {f"ccc_{name}": value for name, value in found.items()}, (mean,)

    @staticmethod
    def _weigh(values: Tensor, ratings: Tensor) -> Term:
        rated = ~ratings.isnan()
        count = rated.sum()
        if count < 2:
            return Term(values.sum() * 0.0, torch.zeros_like(count))
        return Term(1 - measure_concordance(values[rated], ratings[rated]), count)

    def average_training(self) -> dict[str, float]:
        """Losses of the training epoch.

        Raises:
            TrainingError: no batch had two clips rated for one attribute.
        """
        if self._training.is_empty():
            raise TrainingError(
                f"{self.where}: no batch contained two clips rated for the same attribute, so the CCC loss is undefined; "
                "set a larger batch_size or batch_seconds"
            )
        return super().average_training()

    def average_evaluation(self) -> dict[str, float]:
        """The loss over all clips of the part, since a mean of batches' CCC is not that of the whole."""
        found = self._rate_whole()
        if not found:
            return super().average_evaluation()
        losses = {name: 1 - value for name, value in found.items()}
        return {"loss": sum(losses.values()), **(name_losses(losses) if len(self.weights) > 1 else {})}

    def _rate_whole(self) -> dict[str, float]:
        """Attribute -> CCC over what was kept; those without two rated clips are left out."""
        values, ratings = (torch.cat(tensors).double() for tensors in zip(*self._kept, strict=True))
        found = zip(self.weights, _concord(values, ratings), strict=True)
        return {name: value for name, value in found if value is not None}


def _concord(values: Tensor, ratings: Tensor) -> list[float | None]:
    """CCC of each column of (n, n_attributes), over the rows where `ratings` is not NaN; None with fewer than two."""
    found: list[float | None] = []
    for prediction, truth in zip(values.T, ratings.T, strict=True):
        rated = ~truth.isnan()
        found.append(float(measure_concordance(prediction[rated], truth[rated])) if rated.sum() > 1 else None)
    return found
