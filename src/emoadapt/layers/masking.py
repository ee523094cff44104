"""Shared by objectives that mask spans of what a speech model's transformer reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.layers.masked_contrast import Contrast, draw_masks
from emoadapt.layers.speech import SpeechBackbone

if TYPE_CHECKING:
    from emoadapt.layers.trainable import TrainableBackbone


def check_speech(backbone: TrainableBackbone, objective: str) -> SpeechBackbone:
    """The backbone, a speech model.

    Raises:
        ModelError: it has no frames between its front end and its transformer that could be masked.
    """
    if not isinstance(backbone, SpeechBackbone):
        raise ModelError(
            f"objective {objective} masks what a speech model's front end makes of audio, and {backbone.origin} is no speech model; name "
            "speech models alone in the adaptation's `backbones`"
        )
    return backbone


def start_mask(backbone: SpeechBackbone) -> nn.Parameter:
    """The vector (hidden_width,) that stands for a masked frame: the model's own if it was pre-trained with masks, else a drawn one."""
    known = getattr(backbone.model, "masked_spec_embed", None)
    return nn.Parameter(torch.rand(backbone.hidden_width) if known is None else known.detach().clone())


def mask_spans_of(
    frames: Tensor, lengths: Tensor, keys: Sequence[Sequence[int]], settings: Contrast
) -> tuple[Tensor, np.ndarray]:
    """Masked frames of a batch, (batch, n_frames) boolean, on the device of the frames and in numpy; see `draw_masks`."""
    found = draw_masks(lengths.tolist(), keys, settings)
    masked = np.pad(found, ((0, 0), (0, frames.shape[1] - found.shape[1])))
    return torch.from_numpy(masked).to(frames.device), masked


def run_masked(backbone: SpeechBackbone, frames: Tensor, lengths: Tensor, masked: Tensor, stand_in: Tensor) -> Tensor:
    """Last layer, (batch, n_frames, hidden_width), of an input in which a vector stands for masked frames."""
    hidden = backbone.parts.project(frames, lengths)
    hidden = torch.where(masked[..., None], stand_in.to(hidden.dtype), hidden)
    (last,) = backbone.parts.transform(hidden, lengths, every=False)
    return last
