"""The objective of wav2vec 2.0, a baseline of Goncalves & Busso (2022).

Masked frames are recognised by their quantised vectors. The loss is in `emoadapt.layers.masked_contrast`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from emoadapt.layers.heads import seeded
from emoadapt.layers.masked_contrast import Contrast, MaskedContrast, draw_negatives
from emoadapt.layers.masking import check_speech, mask_spans_of, run_masked, start_mask
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
            self.mask = start_mask(backbone)


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
        check_speech(backbone, "wav2vec2")

    def head(self, backbone: TrainableBackbone, seed: int) -> Contrasted:
        """See `Untargeted`."""
        return Contrasted(check_speech(backbone, "wav2vec2"), seed)

    def measure(self, outputs: Outputs, head: Contrasted) -> Measured:
        """See the class."""
        frames, lengths = outputs.signals
        if head.training:
            head.anneal(outputs.step)
        masked, places = mask_spans_of(frames, lengths, outputs.keys, head.settings)
        negatives = torch.from_numpy(draw_negatives(places, outputs.keys, head.settings.negatives)).to(frames.device)
        if not len(negatives):
            idle = sum(parameter.sum() for parameter in head.parameters()) + frames.sum()
            return Measured(idle * 0.0, torch.zeros_like(lengths.sum()))
        last = run_masked(check_speech(outputs.backbone, "wav2vec2"), frames, lengths, masked, head.mask)
        losses = head(nn.functional.layer_norm(frames, frames.shape[2:]), last, masked, negatives)
        sums = {"contrastive": losses.contrastive, "diversity": losses.diversity, "accuracy": losses.hits}
        chance = torch.ones_like(losses.contrastive) / (1 + head.settings.negatives)
        scores = {name: value.detach() / losses.n_frames for name, value in sums.items()} | {"chance": chance}
        return Measured(head.combine(losses), masked.sum(), scores)
