"""The objective of wav2vec 2.0, a baseline of Goncalves & Busso (2022).

Masked frames are recognised by their quantised vectors. The loss is in `emoadapt.layers.masked_contrast`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.masked_contrast import Contrast, MaskedContrast, draw_masks, draw_negatives
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.objectives.base import Measured, Outputs, Untargeted

if TYPE_CHECKING:
    from emoadapt.layers.trainable import TrainableBackbone

FEATURE = None


class Contrasted(MaskedContrast):
    """Quantiser and projections, and the vector that stands for a masked frame.

    Args:
        backbone: whose frames are compared; weights that were pre-trained with masks bring their own vector.
        seed: of the initial weights.
    """

    def __init__(self, backbone: SpeechBackbone, seed: int) -> None:
        super().__init__(Contrast(), backbone.cnn_dimension, backbone.hidden_width, seed)
        with seeded(seed):
            self.mask = nn.Parameter(torch.rand(backbone.hidden_width))
        if (known := getattr(backbone.model, "masked_spec_embed", None)) is not None:
            self.mask.data.copy_(known.detach())


class Objective(Untargeted):
    """Contrastive loss of masked frames, plus .1 of the diversity of codevectors (Baevski et al. 2020, Eq. 2-4).

    Spans of the transformer's input are masked in training and in evaluation. Their places and the negatives follow from seed, epoch
    and utterance, on held-out clips from the utterance alone. There the quantiser draws no noise, and nothing is dropped out. The
    loss is the mean over masked frames.

    The quantiser reads the front end's frames after a layer norm without weights, which its own projection makes up for. As in
    `transformers`, there is no penalty on the front end's activations.
    """

    def begin(self, backbone: TrainableBackbone) -> None:
        """See `Untargeted`."""
        _check(backbone)

    def head(self, backbone: TrainableBackbone, seed: int) -> Contrasted:
        """See `Untargeted`."""
        return Contrasted(_check(backbone), seed)

    def measure(self, outputs: Outputs, head: Contrasted) -> Measured:
        """See the class."""
        frames, lengths = outputs.signals
        if head.training:
            head.anneal(outputs.step)
        masked, negatives = _draw(outputs, head.settings)
        if not len(negatives):
            idle = sum(parameter.sum() for parameter in head.parameters()) + frames.sum()
            return Measured(idle * 0.0, torch.zeros_like(lengths.sum()))
        parts = _check(outputs.backbone).parts
        hidden = parts.project(frames, lengths)
        hidden = torch.where(masked[..., None], head.mask.to(hidden.dtype), hidden)
        (last,) = parts.transform(hidden, lengths, every=False)
        losses = head(nn.functional.layer_norm(frames, frames.shape[2:]), last, masked, negatives)
        sums = {"contrastive": losses.contrastive, "diversity": losses.diversity, "accuracy": losses.hits}
        chance = torch.ones_like(losses.contrastive) / (1 + head.settings.negatives)
        scores = {name: value.detach() / losses.n_frames for name, value in sums.items()} | {"chance": chance}
        return Measured(head.combine(losses), masked.sum(), scores)


def _draw(outputs: Outputs, settings: Contrast) -> tuple[Tensor, Tensor]:
    """Masks (batch, n_frames), and negatives (n_masked, n_negatives) of a batch."""
    frames, lengths = outputs.signals
    found = draw_masks(lengths.tolist(), outputs.keys, settings)
    masked = np.pad(found, ((0, 0), (0, frames.shape[1] - found.shape[1])))
    negatives = draw_negatives(masked, outputs.keys, settings.negatives)
    return torch.from_numpy(masked).to(frames.device), torch.from_numpy(negatives).to(frames.device)


def _check(backbone: TrainableBackbone) -> SpeechBackbone:
    """The backbone, a speech model.

    Raises:
        ModelError: it has no frames between its front end and its transformer that could be masked.
    """
    if not isinstance(backbone, SpeechBackbone):
        raise ModelError(
            f"objective wav2vec2 masks what a speech model's front end makes of audio, and {backbone.origin} is no speech model; name "
            "speech models alone in the adaptation's `backbones`"
        )
    return backbone
