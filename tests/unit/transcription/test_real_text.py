"""Tokens and embeddings of the real MiniLM, of words that the real Whisper `tiny.en` finds in real clips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from emoadapt.backbones.base import load_folder
from emoadapt.data.streams import Stream
from emoadapt.features import text_embedding, text_tokens, transcript
from emoadapt.features.base import Context
from emoadapt.inference.classifier import EmotionClassifier
from emoadapt.inference.inputs import InputFeature, Inputs
from emoadapt.inference.predict import predict_files
from emoadapt.layers.heads import build_head
from emoadapt.media import decode_audio

from ..features.fake_whisper import make_row

WHISPER, MINILM = "whisper_converted/tiny.en.pt", "minilm"
DATA, MODELS = Path(os.environ.get("EMOADAPT_DATA", "")), Path(os.environ.get("EMOADAPT_MODELS", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("EMOADAPT_DATA") or not (MODELS / WHISPER).is_file() or not (MODELS / MINILM).is_dir(),
    reason=f"EMOADAPT_DATA names no real clips, or EMOADAPT_MODELS has no {WHISPER} or no {MINILM}",
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Transcripts of RAVDESS's two sentences, and of clips of several lengths from elsewhere."""
    clips = ("WDA_KatieHill_000.mp4", "brbk7n.mp4", "lbbc2a.mp4")
    files = [*sorted(DATA.glob("ravdess/Actor_01/*"))[:8:2], *(DATA / "clips" / name for name in clips)]
    config = transcript.Config(model=WHISPER, language="en")
    rows = [make_row(decode_audio(file), "en") for file in files]
    found = transcript.load(config, Context(MODELS)).extract(rows)
    spoken = [row for row in found if "status" not in row]
    return [{**row, "transcript_notes": []} for row in spoken]


def test_tokens_and_embeddings_of_real_words(rows: list[dict[str, Any]]) -> None:
    tokenizer, model = (
        AutoTokenizer.from_pretrained(MODELS / MINILM),
        AutoModel.from_pretrained(MODELS / MINILM).float(),
    )
    found = text_tokens.load(text_tokens.Config(model=MINILM), Context(MODELS)).extract(rows)
    texts = [row["text"] for row in rows]
    assert len({len(row["text_tokens"]) for row in found}) > 1, "texts of one length are not padded"
    # The tokenizer of all-MiniLM-L6-v2 pads to 128 tokens where it is asked nothing.
    assert [row["text_tokens"] for row in found] == tokenizer(texts, padding=False, truncation=False)["input_ids"]
    padded = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model.eval()(**padded).last_hidden_state
    mask = padded["attention_mask"][..., None]
    # Mean pooling, as its model card writes it.
    expected = ((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    extractor = text_embedding.load(text_embedding.Config(model=MINILM), Context(MODELS))
    together = np.stack([row["text_embedding"] for row in extractor.extract(rows)])
    alone = np.stack([extractor.extract([row])[0]["text_embedding"] for row in rows])
    np.testing.assert_allclose(together, expected, atol=2e-5)
    np.testing.assert_allclose(alone, expected, atol=2e-5)


def test_embeddings_of_real_words_know_their_meaning() -> None:
    texts = ("I am so glad to see you.", "I'm very happy that you came.", "The train leaves at half past nine.")
    extractor = text_embedding.load(text_embedding.Config(model=MINILM), Context(MODELS))
    vectors = np.stack([row["text_embedding"] for row in extractor.extract([{"text": text} for text in texts])])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_a_model_of_text_hears_the_real_sentence(tmp_path: Path) -> None:
    """From the file to the prediction, as its study would go: the recogniser's words, their tokens, the encoder."""
    section = transcript.Config(model=WHISPER, language="en").model_dump(mode="json")
    features = {"transcript": InputFeature(section), "text_tokens": InputFeature({"model": MINILM})}
    inputs = Inputs({"tokens": Stream("text_tokens", "text_tokens", "tokens")}, features)
    backbone = load_folder(MODELS / MINILM, origin=MINILM, trained=True)
    classifier = EmotionClassifier(backbone, build_head("mlp", backbone.width, 8, 2, 0), ["a", "b"], inputs=inputs)
    file = sorted(DATA.glob("ravdess/Actor_01/*"))[0]
    (row,) = predict_files(classifier, [file], models_dir=MODELS)
    assert row.status == "ok" and row.text == "Kids are talking by the door."
    ids = AutoTokenizer.from_pretrained(MODELS / MINILM)(row.text)["input_ids"]
    with torch.inference_mode():
        expected = classifier([torch.tensor(ids)]).softmax(dim=1)[0].tolist()
    assert list(row.probabilities.values()) == pytest.approx(expected, abs=1e-5)
