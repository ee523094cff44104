"""Kept frames of front ends against the model's own."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from emoadapt import schema
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config import load_study
from emoadapt.data.streams import AUDIO
from emoadapt.extraction.kept import keep_shard
from emoadapt.extraction.outputs import EXTRACTORS, FrontEndExtractor
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.storage.tables import write_table

# Kernels and strides of the published models, with a receptive field of 400 samples and a hop of 320, and few channels.
SMALL = {
    "conv_dim": (24,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "conv_pos_kernel": 4, "conv_pos_groups": 2,
}  # fmt: skip
FAMILIES = [("wav2vec2", "group"), ("wavlm", "group"), ("wavlm", "layer"), ("hubert", "group"), ("data2vec", "layer")]


@cache
def make_backbone(architecture: str, norm: str) -> SpeechBackbone:
    backbone = build_untrained(architecture, UntrainedBackbone(**SMALL, feat_extract_norm=norm))
    # Norms of an untrained model scale by 1 and add 0, which would hide it if they were left out.
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.model.feature_extractor.named_parameters():
            if "layer_norm" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def make_row(n_samples: int) -> dict:
    samples = np.random.default_rng(n_samples).integers(-9000, 9000, n_samples) + 500
    return {"utterance_id": f"c/{n_samples}", "audio": samples.astype("<i2").tobytes()}


def compute_expected(backbone: SpeechBackbone, audio: torch.Tensor) -> np.ndarray:
    """(n_frames, channels) by the feature encoder of `transformers` on the clip as it is, without batch or padding."""
    if backbone.normalise:
        audio = (audio - audio.mean()) / torch.sqrt(audio.var(correction=0) + 1e-7)
    # A clip shorter than one frame is defined as followed by silence until it has one.
    audio = torch.nn.functional.pad(audio, (0, max(0, 400 - len(audio))))
    with torch.no_grad():
        return backbone.model.feature_extractor(audio[None])[0].T.numpy()


@pytest.mark.parametrize("n_samples", [1, 160, 400, 719, 720, 5000, 16_001, 48_000])
@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_frames_equal_the_models_own(architecture: str, norm: str, n_samples: int) -> None:
    backbone, row = make_backbone(architecture, norm), make_row(n_samples)
    audio = torch.from_numpy(np.frombuffer(row["audio"], "<i2").astype(np.float32) / 32768)
    expected = compute_expected(backbone, audio)
    with torch.no_grad():
        full = backbone.encode_cnn([audio])[0][0].numpy()
    (result,) = FrontEndExtractor(backbone, {"audio": AUDIO}).extract([row])
    half = np.frombuffer(result["frontend"], "<f2").reshape(result["n_frames"], result["dimension"]).astype(np.float32)
    assert half.shape == full.shape == expected.shape == (max(1, (n_samples - 400) // 320 + 1), 24)
    assert np.linalg.norm(full - expected) < 1e-5 * np.linalg.norm(expected)
    assert np.linalg.norm(half - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_near_silent_and_constant_clips_give_numbers(architecture: str, norm: str) -> None:
    impulse = np.zeros(4000, "<i2")
    impulse[2000] = 1
    rows = [{"audio": samples.tobytes()} for samples in (impulse, np.full(4000, -32768, "<i2"))]
    for result in FrontEndExtractor(make_backbone(architecture, norm), {"audio": AUDIO}).extract(rows):
        frames = np.frombuffer(result["frontend"], "<f2")
        assert len(frames) == 12 * 24 and np.isfinite(frames).all()


def test_results_fit_the_table() -> None:
    row = make_row(5000)
    (result,) = FrontEndExtractor(make_backbone("hubert", "group"), {"audio": AUDIO}).extract([row])
    pa.Table.from_pylist([row | result | {"key": "k", "status": "ok"}], schema=schema.FRONTEND)


def test_overflow_is_a_problem_of_the_clip() -> None:
    backbone = build_untrained("wav2vec2", UntrainedBackbone())
    with torch.no_grad():
        backbone.model.feature_extractor.conv_layers[-1].layer_norm.weight.fill_(1e6)
    (result,) = FrontEndExtractor(backbone, {"audio": AUDIO}).extract([make_row(4000)])
    assert result["status"] == "failed"
    assert result["reason"].startswith("frontend_overflow: ")


class Shard:
    """One kept shard of two clips.

    Args:
        kind: of kept output.
        folder: where it is.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.clips, self.code = kind, folder, [800, 900], "code"
        self.libraries = "torch==2"
        self.config: dict[str, Any] = {"architecture": "wav2vec2", "untrained": SMALL}
        self.model: Path | None = None

    def keep(self) -> tuple[int, int]:
        """Bring it up to date; rows computed and reused."""
        rows = [make_row(n) | {"key": f"{n}", "status": "ok", "n_samples": n} for n in self.clips]
        write_table(self.folder / "audio.parquet", rows, schema.feature_table("audio"))
        corpora = {"c": {"importer": "folder", "root": "."}}
        study = load_study(
            {"study": "kept", "device": "cpu", "corpora": corpora, "backbones": {"tiny": self.config}, "tasks": {}}
        )
        audio, output = self.folder / "audio.parquet", self.folder / "kept.parquet"
        counts = keep_shard(
            study, self.kind, "tiny", self.model, {"audio": audio}, output, self.code, self.libraries, 1
        )
        return counts.computed, counts.reused

    def adapt(self, seed: int) -> None:
        """Read a Stage-1 model, of other weights for each seed, in the same place."""
        self.model = self.folder / "tiny.adapted"
        build_untrained("wav2vec2", UntrainedBackbone(**SMALL, seed=seed)).save(self.model, {})


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_rows_are_kept_until_what_they_are_computed_with_changes(kind: str, tmp_path: Path) -> None:
    """Symptom: after an upgrade of torch, a new clip was kept beside rows of the version before."""
    shard = Shard(kind, tmp_path)
    assert shard.keep() == (2, 0)
    shard.config |= {"train_layers": 1, "pooling": "attentive_statistics", "spec_augment": {}}
    shard.clips.append(1000)
    assert shard.keep() == (1, 2), "what is trained above is no part of them"
    shard.config |= {"pad": {"seconds": 1.0}}
    assert shard.keep() == (3, 0)
    shard.config |= {"untrained": {**SMALL, "seed": 1}}
    assert shard.keep() == (3, 0)
    for seed in (2, 3):
        shard.adapt(seed)
        assert shard.keep() == (3, 0), "of another Stage-1 model"
    shard.code = "other code"
    assert shard.keep() == (3, 0)
    shard.libraries = "torch==3"
    assert shard.keep() == (3, 0)
    assert shard.keep() == (0, 3)
