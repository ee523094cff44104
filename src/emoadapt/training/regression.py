"""The learner of a task of attributes, by concordance.

The loss of an attribute is 1 - CCC over the clips of a batch that are rated for it (Trigeorgis et al. 2016, "Adieu features?
End-to-end speech emotion recognition using a deep convolutional recurrent network", Sec. 3.2), the total their sum. The CCC over
a whole part is reported.

The model's outputs are in the corpus's own scale: behind the head stands a fixed affine map with the mean and standard deviation
of the training clips' values. The CCC is the same before and after the map, and so is learning, whatever the scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.training.curve import Curve
from emoadapt.training.learner import TestedLearner
from emoadapt.training.totals import Term, name_losses

if TYPE_CHECKING:
    from emoadapt.training.terms import FurtherTerm


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


class AttributeLearner(TestedLearner):
    """Learner of attributes by 1 - CCC; the epoch with the best mean dev CCC is kept.

    Args:
        model: batch -> (embedding (batch, width), values (batch, n_attributes) in the corpus's scale).
        settings: optimiser and learning rate.
        curve: collects losses and scores.
        seed: of dropout.
        attributes: in the order of the values.
        terms: further loss terms.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Any,
        curve: Curve,
        seed: int,
        attributes: Sequence[str],
        terms: Sequence[FurtherTerm] = (),
    ) -> None:
        super().__init__(model, settings, curve, seed, dict.fromkeys(attributes, 1.0), terms)
        self.attributes = tuple(attributes)

    def measure_task(self, outputs: Tensor, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """One term per attribute, over its rated clips; it needs at least two."""
        ratings = batch.values["ratings"]
        if keep:
            self._kept.append((outputs.detach().cpu(), ratings.cpu()))
        return {name: self._weigh(outputs[:, place], ratings[:, place]) for place, name in enumerate(self.attributes)}

    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """CCC of each attribute over the whole part, and their mean."""
        found = self._rate_whole()
        mean = sum(found.values()) / len(found) if found else 0.0
        return {"ccc_mean": mean} | {f"ccc_{name}": value for name, value in found.items()}, self.choose(
            (mean,), losses
        )

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
        if self._training.is_empty(len(self.attributes)):
            raise TrainingError(
                f"{self.where}: no batch contained two clips rated for the same attribute, so the CCC loss is undefined; "
                "set a larger batch_size or batch_seconds"
            )
        return super().average_training()

    def average_evaluation(self) -> dict[str, float]:
        """Loss over all clips of the part; a mean of batch CCCs would differ."""
        found = self._rate_whole()
        if not found:
            return super().average_evaluation()
        losses = {name: 1 - value for name, value in found.items()}
        return {"loss": sum(losses.values()), **(name_losses(losses) if len(self.attributes) > 1 else {})}

    def _rate_whole(self) -> dict[str, float]:
        """Attribute -> CCC over what was kept; those without two rated clips are left out."""
        values, ratings = (torch.cat(tensors).double() for tensors in zip(*self._kept, strict=True))
        found = zip(self.attributes, concord(values, ratings), strict=True)
        return {name: value for name, value in found if value is not None}


def concord(values: Tensor, ratings: Tensor) -> list[float | None]:
    """CCC of each column of (n, n_attributes), over the rows where `ratings` is not NaN; None with fewer than two."""
    found: list[float | None] = []
    for prediction, truth in zip(values.T, ratings.T, strict=True):
        rated = ~truth.isnan()
        found.append(float(measure_concordance(prediction[rated], truth[rated])) if rated.sum() > 1 else None)
    return found
