"""The objective that wav2vec 2.0 is pre-trained with (Baevski et al. 2020, Sec. 3.2 and 4.2).

The transformer reads front-end frames of which spans are masked. For each masked frame it is to recognise the frame's own
quantised vector among those of other masked frames of the clip (Eq. 3). The quantiser is to use all of its codevectors (Eq. 4). The
quantiser is that of `transformers`. Its `Wav2Vec2ForPreTraining` gives the same loss for the same masks and negatives, but quantises
and compares every frame; here only masked frames are.

What is drawn for a clip follows from a key of its own, as in `emoadapt.layers.augmentation`; the quantiser's noise, from torch's
generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from emoadapt.layers.augmentation import draw_spans
from emoadapt.layers.heads import seeded

_MASKS, _NEGATIVES = 2, 3
"""Appended to a clip's key, so that masks, negatives and crop are drawn independently."""


@dataclass(frozen=True)
class Contrast:
    """Sizes and weights of the objective; the defaults are those of wav2vec 2.0 base.

    Args:
        groups: codebooks of the quantiser.
        codevectors: of each codebook.
        codevector_width: dimension of a quantised frame.
        width: dimension in which frames are compared.
        negatives: other masked frames that each masked frame is compared with, drawn with replacement.
        temperature: that similarities are divided by.
        diversity: weight of the diversity term.
        mask_share: share of the frames that masked spans would cover if they did not overlap.
        mask_frames: frames of a span.
        noise: the Gumbel noise's temperature at first, at last, and the factor from step to step.
    """

    groups: int = 2
    codevectors: int = 320
    codevector_width: int = 256
    width: int = 256
    negatives: int = 100
    temperature: float = 0.1
    diversity: float = 0.1
    mask_share: float = 0.65
    mask_frames: int = 10
    noise: tuple[float, float, float] = (2.0, 0.5, 0.999995)


class Losses(NamedTuple):
    """Sums over the masked frames of a batch.

    Args:
        contrastive: cross-entropy of the own vector among the negatives.
        diversity: share of the codevectors that is not used, times `n_frames`.
        n_frames: masked frames.
        hits: frames whose own vector is more similar than all negatives.
    """

    contrastive: Tensor
    diversity: Tensor
    n_frames: int
    hits: Tensor


class MaskedContrast(nn.Module):
    """Quantiser, both projections, and the loss.

    Args:
        settings: sizes and weights.
        dimension: of a frame of the front end.
        width: of a frame of the transformer.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, settings: Contrast, dimension: int, width: int, seed: int) -> None:
        super().__init__()
        self.settings = settings
        sizes = Wav2Vec2Config(
            num_codevector_groups=settings.groups,
            num_codevectors_per_group=settings.codevectors,
            codevector_dim=settings.codevector_width,
            conv_dim=(dimension,),
            conv_kernel=(1,),
            conv_stride=(1,),
        )
        with seeded(seed):
            self.quantizer = Wav2Vec2GumbelVectorQuantizer(sizes)
            self.project_hid = nn.Linear(width, settings.width)
            self.project_q = nn.Linear(settings.codevector_width, settings.width)
            # As `Wav2Vec2PreTrainedModel._init_weights`; the quantiser leaves its codevectors uninitialised
            nn.init.normal_(self.quantizer.weight_proj.weight)
            nn.init.zeros_(self.quantizer.weight_proj.bias)
            nn.init.uniform_(self.quantizer.codevectors)

    def forward(self, features: Tensor, hidden: Tensor, masked: Tensor, negatives: Tensor) -> Losses:
        """Compare each masked frame with its own quantised vector and with its negatives.

        Args:
            features: (batch, n_frames, dimension) front end's output, not masked.
            hidden: (batch, n_frames, width) transformer's output, of a masked input.
            masked: (batch, n_frames) boolean, at least one True.
            negatives: (n_masked, n_negatives) indices of masked frames, counted clip after clip.
        """
        quantised, perplexity = self.quantizer(features[masked][None])
        targets, found = self.project_q(quantised[0]), self.project_hid(hidden[masked])
        # Of all pairs, since copies of the negatives' vectors would take far more memory.
        similarity = normalize(found.float(), dim=1) @ normalize(targets.float(), dim=1).T / self.settings.temperature
        # A negative may have the very codevectors of the frame itself.
        _, code = quantised[0].detach().unique(dim=0, return_inverse=True)
        same = code[negatives] == code[:, None]
        logits = torch.cat(
            [similarity.diagonal()[:, None], similarity.gather(1, negatives).masked_fill(same, -torch.inf)], dim=1
        )
        own = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        codevectors = self.settings.groups * self.settings.codevectors
        unused = (codevectors - perplexity) / codevectors
        hits = (logits.argmax(dim=1) == 0).sum()
        return Losses(cross_entropy(logits, own, reduction="sum"), unused * len(logits), len(logits), hits)

    def combine(self, losses: Losses) -> Tensor:
        """What is minimised: the weighted sum of both terms, per masked frame."""
        return (losses.contrastive + self.settings.diversity * losses.diversity) / losses.n_frames

    def anneal(self, step: int) -> None:
        """Set the temperature of the quantiser's noise for a step of the optimiser, counted from 0."""
        first, last, factor = self.settings.noise
        self.quantizer.temperature = max(last, first * factor**step)


def draw_masks(lengths: Sequence[int], draws: Sequence[Sequence[int]], settings: Contrast) -> np.ndarray:
    """Draw masked spans: (batch, longest) boolean.

    Args:
        lengths: valid frames of each clip; spans lie within them.
        draws: key of each clip's `numpy.random.default_rng`.
        settings: share and length of spans.

    Returns:
        No frame of a clip that is shorter than a span, or in which none falls: it takes no part.
    """
    masked = np.zeros((len(lengths), max(lengths)), dtype=bool)
    for row, (length, key) in enumerate(zip(lengths, draws, strict=True)):
        random = np.random.default_rng([*key, _MASKS])
        masked[row, :length] = draw_spans(length, settings.mask_share, settings.mask_frames, random)
    # A frame needs another one of its clip to be told from.
    masked[masked.sum(axis=1) < 2] = False
    return masked


def draw_negatives(masked: np.ndarray, draws: Sequence[Sequence[int]], n_negatives: int) -> np.ndarray:
    """Draw other masked frames of the same clip for each masked frame, all equally probable, with replacement.

    Args:
        masked: (batch, n_frames) boolean; a clip has none or at least two.
        draws: key of each clip's `numpy.random.default_rng`.
        n_negatives: for each frame.

    Returns:
        (n_masked, n_negatives) indices of masked frames, counted clip after clip.
    """
    found, before = [np.zeros((0, n_negatives), dtype=np.int64)], 0
    for count, key in zip(masked.sum(axis=1), draws, strict=True):
        if not count:
            continue
        random = np.random.default_rng([*key, _NEGATIVES])
        drawn = random.integers(0, count - 1, size=(count, n_negatives))
        drawn += drawn >= np.arange(count)[:, None]
        found.append(before + drawn)
        before += count
    return np.concatenate(found)
