"""Whisper checkpoints whose words are known by construction, and clips to hear; for the tests of transcription."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

from emoadapt.features.base import Context
from emoadapt.features.transcript import Config as AsrConfig
from emoadapt.features.transcript import TranscriptExtractor

LOGIT = 30.0
N_CONTEXT = 24
TOKENIZER = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")


def save_whisper(path: Path, favourites: dict[int, float], multilingual: bool = True) -> Path:
    """A checkpoint in Whisper's own format whose next-token logits are always these, and 0 elsewhere.

    The decoder's last norm has weight 0, so that its output is its bias, the first unit vector; the logit of a token is then the
    first element of its embedding.
    """
    torch.manual_seed(0)
    dims = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=16, n_audio_head=2, n_audio_layer=1,
        n_vocab=51865 if multilingual else 51864, n_text_ctx=N_CONTEXT, n_text_state=16, n_text_head=2, n_text_layer=1,
    )  # fmt: skip
    model = Whisper(dims)
    with torch.no_grad():
        model.decoder.positional_embedding.normal_()
        model.decoder.token_embedding.weight[:, 0] = 0
        for token, logit in favourites.items():
            model.decoder.token_embedding.weight[token, 0] = logit
        model.decoder.ln.weight.zero_()
        model.decoder.ln.bias.zero_()
        model.decoder.ln.bias[0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path


def save_random_whisper(path: Path, seed: int = 0) -> Path:
    """A checkpoint with weights so large that what it says depends on what it hears, in words and time stamps."""
    torch.manual_seed(seed)
    dims = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=32, n_audio_head=2, n_audio_layer=1,
        n_vocab=51865, n_text_ctx=2 * N_CONTEXT, n_text_state=32, n_text_head=2, n_text_layer=1,
    )  # fmt: skip
    model = Whisper(dims)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(std=0.3)
        model.decoder.positional_embedding.normal_()
        model.decoder.token_embedding.weight.normal_()
        # Tasks and languages are no words.
        model.decoder.token_embedding.weight[TOKENIZER.sot : TOKENIZER.timestamp_begin] *= 0.05
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path


def build(folder: Path, engine: str = "whisper", model: str = "asr/tiny.pt", **values: Any) -> TranscriptExtractor:
    """An extractor that notes doubts, since texts of models made here repeat themselves or are improbable."""
    return TranscriptExtractor(AsrConfig(engine=engine, model=model, **{"doubtful": "note"} | values), Context(folder))


def make_noise(seed: int, seconds: float) -> np.ndarray:
    """(n_samples,) int16 noise whose level goes up and down."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(16000 * seconds))
    level = generator.uniform(300, 3000) * (1 + np.sin(time / generator.uniform(3, 4000)))
    return (generator.standard_normal(time.size) * level).clip(-32000, 32000).astype(np.int16)


def make_row(
    audio: np.ndarray | None = None, language: str | None = None, transcript: str | None = None
) -> dict[str, Any]:
    samples = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16) if audio is None else audio
    return {"utterance_id": "c/x", "audio": samples.tobytes(), "language": language, "transcript": transcript}
