"""Rows of text tokens and text embeddings: values against `transformers`, and transcripts that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from emoadapt import schema
from emoadapt.data.streams import Stream, list_columns
from emoadapt.errors import ModelError
from emoadapt.features import text_embedding, text_tokens
from emoadapt.features.base import Context, Extractor

from ..transcription.text_models import POSITIONS, TEXTS, save_encoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("bert", "roberta"):
        save_encoder(folder / name, name)
    return folder


def build(feature: Any, folder: Path, **values: Any) -> Extractor:
    return feature.load(feature.Config(**{"model": "bert", **values}), Context(folder))


def make_rows(texts: tuple[str, ...], language: str | None = "en", notes: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"text": text, "language": language, "transcript_notes": list(notes)} for text in texts]


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_tokens_are_those_of_transformers(models: Path, model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models / model)
    rows = build(text_tokens, models, model=model).extract(make_rows(TEXTS))
    assert rows == [{"text_tokens": tokenizer(text)["input_ids"], "reason": None} for text in TEXTS]
    table = pa.Table.from_pylist([{"utterance_id": "c/0", "key": "", "status": "ok", **rows[0]}], text_tokens.TABLE)
    stream = list_columns(Stream("text_tokens", "text_tokens", "tokens"))
    assert table.select(stream.names).schema.types == stream.types
    assert table["text_tokens"].to_pylist() == [rows[0]["text_tokens"]]


def test_a_text_that_is_cut_has_a_note_beside_those_of_its_transcript(models: Path) -> None:
    rows = make_rows(("dogs " * 60,), notes=("language_assumed: en",))
    for feature in (text_tokens, text_embedding):
        (found,) = build(feature, models).extract(rows)
        cut = f"truncated: the first {POSITIONS} of 62 tokens were read"
        assert found["reason"] == f"doubtful_transcript: language_assumed | {cut}"


@pytest.mark.parametrize("feature", [text_tokens, text_embedding])
def test_transcripts_that_cannot_be_read_are_absent(models: Path, feature: Any) -> None:
    german, doubted = make_rows(TEXTS[:1], "de"), make_rows(TEXTS[:1], notes=("repetition: ...",))
    unknown, empty = make_rows(TEXTS[:1], None), make_rows(("",))
    found = build(feature, models).extract([*german, *doubted, *unknown, *empty])
    assert [row.get("status") for row in found] == ["absent", "absent", None, "absent"]
    assert [row["reason"] for row in found] == [
        "language_not_supported: the encoder knows en, the text is in de",
        "doubtful_transcript: repetition",
        "language_assumed: en, the only one that the encoder knows; the corpus names none",
        "no_tokens: the tokenizer knows nothing of the text",
    ]
    any_language = build(feature, models, languages=None).extract([*german, *unknown])
    assert [row["reason"] for row in any_language] == [None, None]
    (kept,) = build(feature, models, doubtful="note").extract(doubted)
    assert kept[feature.__name__.rpartition(".")[2]] is not None and kept["reason"] == "doubtful_transcript: repetition"
    assert build(feature, models, languages=["de", "en"]).extract(unknown)[0]["reason"] == (
        "language_assumed: de, en, the only ones that the encoder knows; the corpus names none"
    )


def reference(folder: Path, text: str, layer: int, special: bool) -> np.ndarray:
    """By hand: hidden states of one text, averaged in float64."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer][0]
    counted = states.double().numpy() if special else states.double().numpy()[1:-1]
    return counted.mean(axis=0)


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize(("layer", "place"), [("last", -1), (3, 3), (1, 1), (0, 0)])
@pytest.mark.parametrize("special", [True, False])
def test_embeddings_are_means_of_hidden_states(models: Path, model: str, layer: Any, place: int, special: bool) -> None:
    extractor = build(text_embedding, models, model=model, layer=layer, special_tokens=special)
    for text, row in zip(TEXTS, extractor.extract(make_rows(TEXTS)), strict=True):
        assert row["text_embedding"].dtype == np.float32 and row["reason"] is None
        np.testing.assert_allclose(row["text_embedding"], reference(models / model, text, place, special), atol=1e-5)


def test_an_embedding_does_not_depend_on_the_batch(models: Path) -> None:
    rows = make_rows((*TEXTS, TEXTS[1], "kids"))
    alone = [build(text_embedding, models, batch_size=1).extract([row])[0]["text_embedding"] for row in rows]
    together = [row["text_embedding"] for row in build(text_embedding, models).extract(rows)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(alone[1] - alone[5]).max() > 0.1, "two words of one length differ"


def test_a_layer_that_is_not_there(models: Path) -> None:
    with pytest.raises(ModelError, match=r"text_embedding\.layer: bert has 3 layers, 4 is asked for"):
        build(text_embedding, models, layer=4)


def test_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a job must not download"))
    for feature in (text_tokens, text_embedding):
        with pytest.raises(ModelError, match=r"nobody/nothing.* are missing"):
            build(feature, tmp_path, model="nobody/nothing")


def test_an_embedding_is_a_vector_that_backbones_can_read() -> None:
    from emoadapt.config.features import gives_stream, list_upstream

    assert gives_stream("text_embedding", Stream("text_embedding", "text_embedding", "vector"))
    assert not gives_stream("text_tokens", Stream("text_tokens", "text_tokens", "vector"))
    assert gives_stream("text_tokens", Stream("text_tokens", "text_tokens", "tokens"))
    assert list_upstream("text_tokens") == ["audio", "transcript", "text_tokens"]
    assert schema.feature_table("text_tokens").field("text_tokens").type == pa.list_(pa.int32())
