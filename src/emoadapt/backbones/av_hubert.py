"""Audio branch of AV-HuBERT (Shi et al. 2022), baseline of G25's Tables III and IV.

Its front end is fixed: log filter banks, without weights. The model is in `emoadapt.layers.av_hubert`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emoadapt.layers.settings import SpeechSettings, UntrainedConvolved

if TYPE_CHECKING:
    from emoadapt.layers.speech import SpeechBackbone

MODEL_TYPES = ("av_hubert",)
CHECKPOINTS = (".pt",)
LOADED_BY = "emoadapt"
NOTICE = (
    "AV-HuBERT is licensed under the AV-HuBERT license, Copyright (c) Meta Platforms, Inc. All Rights Reserved. It allows "
    "non-commercial research only, and a copy of it goes with every copy of this folder: "
    "https://github.com/facebookresearch/av_hubert/blob/main/LICENSE."
)


class Config(SpeechSettings):
    """The audio branch of AV-HuBERT. It has log filter banks and no CNN, so nothing of its front end is trained."""

    architecture: Literal["av_hubert"]
    untrained: UntrainedConvolved | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""


def load(config: Config, models_dir: Path, source: Path | None = None) -> SpeechBackbone:
    """Load a backbone, set up as a study wants it; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.av_hubert import build_untrained_av_hubert
    from emoadapt.layers.transformer import load_configured

    return load_configured(config, models_dir, source, lambda: build_untrained_av_hubert(config.untrained))


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> SpeechBackbone:
    """Load what `save` wrote, or the authors' checkpoint file; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.av_hubert import load_checkpoint, load_saved

    if folder.is_file():
        return load_checkpoint(folder, origin=origin)
    return load_saved(folder, origin=origin, trained=trained)
