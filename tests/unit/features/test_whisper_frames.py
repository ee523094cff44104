"""Frames of Whisper's encoder, against `transformers`, which reads exactly 30 s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from emoadapt.data.clips import read_stream
from emoadapt.data.streams import Stream
from emoadapt.features import whisper_frames
from emoadapt.features.base import Context, Extractor

RATE = 16_000


def save_whisper(folder: Path) -> Path:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=60, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, init_std=0.3,
    )  # fmt: skip
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("models") / "speech").parent


def build(models: Path) -> Extractor:
    return whisper_frames.load(whisper_frames.Config(model="speech"), Context(models))


def make_audio(n_samples: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(n_samples) * 3000).astype("<i2")


def test_thirty_seconds_are_what_transformers_gives(models: Path) -> None:
    audio = make_audio(30 * RATE)
    (row,) = build(models).extract([{"audio": audio.tobytes()}])
    found = np.frombuffer(row["whisper_frames"], "<f2").reshape(row["n_frames"], row["dimension"])
    extract, model = (
        WhisperFeatureExtractor.from_pretrained(models / "speech"),
        WhisperModel.from_pretrained(models / "speech"),
    )
    features = extract(audio / np.float32(32768), sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.no_grad():
        expected = model.eval().encoder(features).last_hidden_state[0].numpy()
    assert found.shape == expected.shape == (1500, 16)
    # float16 has 11 bits; values are of a layer norm.
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize(
    ("n_samples", "n_frames"), [(RATE, 50), (3 * RATE + 7, 150), (40 * RATE, 2000), (RATE // 10, 5)]
)
def test_a_clip_has_fifty_frames_a_second_of_its_own_length(models: Path, n_samples: int, n_frames: int) -> None:
    extractor, clip = build(models), {"audio": make_audio(n_samples).tobytes()}
    (row,) = extractor.extract([clip])
    assert (row["n_frames"], row["dimension"], row["step"]) == (n_frames, 16, 0.02)
    assert extractor.extract([{"audio": make_audio(RATE).tobytes()}, clip])[1] == row
    values = read_stream(row, Stream("whisper_frames", "whisper_frames", "frames"))
    assert values.shape == (n_frames, 16) and values.dtype == np.float16
    table = pa.Table.from_pylist([{"utterance_id": "c/0", "key": "", "status": "ok", **row}], whisper_frames.TABLE)
    assert Stream("whisper_frames", "whisper_frames", "frames").fits(table.schema)


def test_frames_that_do_not_fit_are_said(models: Path) -> None:
    extractor = build(models)
    with torch.no_grad():
        extractor.backbone.model.layer_norm.weight.mul_(1e6)
    (row,) = extractor.extract([{"audio": make_audio(RATE).tobytes()}])
    assert row["status"] == "failed" and row["reason"].startswith("frames_overflow: the encoder's output of ")
