"""Distillation from the frozen start: each layer's frames stay near those of the model that training began with."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoadapt.objectives.base import Constraint, Measured, Outputs
from emoadapt.poolings.base import mask_frames

if TYPE_CHECKING:
    from emoadapt.layers.trainable import TrainableBackbone

FEATURE = None
KEEPS = True

SMALLEST = 1e-3
"""Share of a clip's squared norm that its variation over time counts as at least; that of a single frame is 0."""


class Objective(Constraint):
    """Squared distance of frames from those of the start, over the variation of those: 0 at the start.

    Of a clip and a layer it is sum_t |h_t - s_t|^2 / sum_t |s_t - mean(s)|^2 with frames h of the model and s of its start: 1 where the
    frames are as far off as the start's own mean is. It is averaged over the transformer's input, its layers, and the clips. A penalty
    on features and not on weights, as in DELTA (Li et al. 2019), here of all layers alike.

    The start runs on every batch, without dropout and masks, and takes the memory of one more model without gradients.
    """

    reads_layers = True

    def begin(self, backbone: TrainableBackbone) -> None:
        """Copy the model."""
        self.start = deepcopy(backbone).requires_grad_(False).eval()

    def measure(self, outputs: Outputs, head: None) -> Measured:
        """See the class."""
        frames, lengths = outputs.signals
        self.start.to(frames.device)
        with torch.no_grad():
            wanted = self.start.encode_layers(frames.detach(), lengths)
        valid = mask_frames(lengths, frames.shape[1])[..., None]
        distances = [_compare(*pair, valid) for pair in zip(outputs.states, wanted, strict=True)]
        return Measured(torch.stack(distances).mean(), outputs.n_clips)


def _compare(state: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """(batch, n_frames, width) twice, (batch, n_frames, 1) boolean -> scalar, the mean over clips."""
    # Not times the mask: frames beyond a clip's end hold no meaning, and may not be finite.
    state, wanted = (torch.where(valid, frames.float(), 0.0) for frames in (state, wanted))
    mean = wanted.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True)
    variation = torch.where(valid, wanted - mean, 0.0).square().sum(dim=(1, 2))
    spread = torch.maximum(variation, SMALLEST * wanted.square().sum(dim=(1, 2))).clamp_min(1e-12)
    return ((state - wanted).square().sum(dim=(1, 2)) / spread).mean()
