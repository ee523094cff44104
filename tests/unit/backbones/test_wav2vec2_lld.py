"""The CNN encoder of wav2vec 2.0 with the transformer over descriptors, as a study loads, saves and reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.wav2vec2_lld import Config
from emoadapt.layers.speech import SpeechBackbone

SMALL: dict[str, Any] = {
    "conv_dim": [8, 8],
    "conv_kernel": [10, 4],
    "conv_stride": [5, 4],
    "transformer": {"width": 8, "heads": 2, "layers": 1, "scaled_layers": 1},
}


def make(**untrained: Any) -> SpeechBackbone:
    config = Config.model_validate({"architecture": "wav2vec2_lld", "untrained": SMALL | untrained})
    return load_backbone(config, Path("nowhere")).eval()


def draw_clips() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=random) for n in (4000, 2500)]


@torch.no_grad()
def test_a_saved_model_gives_the_same_embeddings(tmp_path: Path) -> None:
    backbone, clips = make(), draw_clips()
    backbone.save(tmp_path / "saved", {"title": "saved"})
    loaded = load_folder(tmp_path / "saved", origin="saved", trained=True).eval()
    torch.testing.assert_close(loaded(clips), backbone(clips))
    config = Config.model_validate({"architecture": "wav2vec2_lld", "untrained": SMALL})
    torch.testing.assert_close(
        load_backbone(config, Path("nowhere"), tmp_path / "saved").eval()(clips), backbone(clips)
    )


@torch.no_grad()
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_clip_has_the_same_embedding_alone_and_in_a_batch(norm: str) -> None:
    backbone, clips = make(feat_extract_norm=norm), draw_clips()
    alone = torch.cat([backbone([clip]) for clip in clips])
    torch.testing.assert_close(backbone(clips), alone, rtol=1e-4, atol=1e-5)


def test_keys_that_the_cnn_encoder_decides_are_refused() -> None:
    with pytest.raises(ValidationError, match="`dimension` is not used here"):
        make(transformer={"dimension": 130})
