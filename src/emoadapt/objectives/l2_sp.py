"""L2-SP: a penalty on the distance of the weights from their start (Li et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoadapt.objectives.base import Constraint, Measured, Outputs

if TYPE_CHECKING:
    from emoadapt.layers.trainable import TrainableBackbone

FEATURE = None
KEEPS = True


class Objective(Constraint):
    """Half the squared distance of all trained parameters of the backbone from the values that they began with.

    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", ICML 2018, Eq. 2. Its alpha
    is the weight in the study; its beta, a penalty on the new heads, is 0.
    """

    def begin(self, backbone: TrainableBackbone) -> None:
        """Copy the trained parameters."""
        self.start = {name: value.detach().clone() for name, value in _list_trained(backbone).items()}

    def measure(self, outputs: Outputs, head: None) -> Measured:
        """See the class; the clips do not matter."""
        trained = _list_trained(outputs.backbone)
        self.start = {name: value.to(trained[name].device) for name, value in self.start.items()}
        with torch.autocast(outputs.backbone.device.type, enabled=False):
            parts = [(value - self.start[name]).square().sum() for name, value in trained.items()]
            return Measured(0.5 * torch.stack(parts).sum(), outputs.n_clips)


def _list_trained(backbone: TrainableBackbone) -> dict[str, Tensor]:
    return {name: value for name, value in backbone.named_parameters() if value.requires_grad}
