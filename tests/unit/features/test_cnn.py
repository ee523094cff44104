"""Cached CNN frames against the model's own."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from emoadapt import schema
from emoadapt.config import UntrainedBackbone
from emoadapt.features.cnn import CnnExtractor
from emoadapt.models.backbones import build_untrained


def make_rows(*lengths: int) -> list[dict]:
    random = np.random.default_rng(0)
    return [
        {"utterance_id": f"c/{n}", "audio": random.integers(-9000, 9000, n).astype("<i2").tobytes()} for n in lengths
    ]


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_frames_equal_the_models_own(norm: str) -> None:
    backbone = build_untrained("wav2vec2", UntrainedBackbone(feat_extract_norm=norm)).eval()
    rows = make_rows(5000, 16_000)
    for row, result in zip(rows, CnnExtractor(backbone).extract(rows), strict=True):
        audio = torch.from_numpy(np.frombuffer(row["audio"], "<i2").astype(np.float32) / 32768)
        if backbone.normalise:
            audio = (audio - audio.mean()) / audio.std(correction=0)
        with torch.no_grad():
            expected = backbone.model.feature_extractor(audio[None])[0].T.numpy()
        found = np.frombuffer(result["cnn"], "<f2").reshape(result["n_frames"], result["dimension"]).astype(np.float32)
        assert found.shape == expected.shape == (backbone.count_frames(len(audio)), 128)
        assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-3
        pa.Table.from_pylist([row | result | {"key": "k", "status": "ok"}], schema=schema.CNN)


def test_overflow_is_a_problem_of_the_clip() -> None:
    backbone = build_untrained("wav2vec2", UntrainedBackbone())
    with torch.no_grad():
        backbone.model.feature_extractor.conv_layers[-1].layer_norm.weight.fill_(1e6)
    (result,) = CnnExtractor(backbone).extract(make_rows(4000))
    assert result["status"] == "failed"
    assert result["reason"].startswith("cnn_overflow: ")
