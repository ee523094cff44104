"""Sentiment: a tiny classifier in transformers' own format, and VADER."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from emoadapt import schema
from emoadapt.errors import ModelError
from emoadapt.features.base import Context
from emoadapt.features.sentiment import Config as SentimentConfig
from emoadapt.features.sentiment import SentimentExtractor, find_order

WORDS = ["i", "am", "so", "happy", "and", "glad", "today", "sad", "awful", "terrible", "table", "the", "is", "on"]
PERMUTED = {0: "Positive", 1: "Negative", 2: "Neutral"}


def save_classifier(folder: Path, labels: dict[int, str], headless: bool = False) -> Path:
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, id2label=labels, label2id={v: k for k, v in labels.items()}, initializer_range=0.6,
    )  # fmt: skip
    (BertModel(config) if headless else BertForSequenceClassification(config)).save_pretrained(folder)
    return folder


def build(folder: Path, **values: Any) -> SentimentExtractor:
    return SentimentExtractor(SentimentConfig(**values), Context(folder))


def make_rows(texts: list[str], language: str | None = "en") -> list[dict[str, Any]]:
    return [{"utterance_id": f"c/{i}", "text": text, "language": language} for i, text in enumerate(texts)]


TEXTS = ["i am so happy", "awful", "the table is on the table", "sad and glad", "i am so sad", "terrible today", "glad"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_classifier(folder / "sentiment/tiny", PERMUTED)
    return folder


def reference(folder: Path, text: str) -> np.ndarray:
    """Probabilities in the model's own order, by hand from the logits of one text."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0].double().numpy()
    return np.exp(logits) / np.exp(logits).sum()


def test_probabilities_are_put_into_the_tables_order(models: Path) -> None:
    results = build(models, model="sentiment/tiny").extract(make_rows(TEXTS))
    labels = set()
    for text, result in zip(TEXTS, results, strict=True):
        positive, negative, neutral = reference(models / "sentiment/tiny", text)
        np.testing.assert_allclose(result["sentiment"], [negative, neutral, positive], atol=1e-5)
        assert result["sentiment"].dtype == np.float32
        best = int(np.argmax([positive, negative, neutral]))
        assert result["sentiment_label"] == PERMUTED[best].lower()
        labels.add(result["sentiment_label"])
    assert len(labels) > 1, "a model that always says the same would not show a wrong order"


def test_a_result_does_not_depend_on_the_batch(models: Path) -> None:
    rows = make_rows(TEXTS)
    alone = [build(models, model="sentiment/tiny", batch_size=1).extract([row])[0]["sentiment"] for row in rows]
    for size in (2, 32):
        together = [r["sentiment"] for r in build(models, model="sentiment/tiny", batch_size=size).extract(rows)]
        np.testing.assert_allclose(together, alone, atol=1e-6)


def test_batches_without_padding_are_as_those_with(models: Path) -> None:
    folder = models / "sentiment/tiny"
    model, tokenizer = (
        BertForSequenceClassification.from_pretrained(folder).eval(),
        BertTokenizerFast.from_pretrained(folder),
    )
    padded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert not padded["attention_mask"].all(), "texts of one length are not padded"
    with torch.no_grad():
        expected = torch.softmax(model(**padded).logits, dim=-1)[:, [1, 2, 0]]
    results = build(models, model="sentiment/tiny").extract(make_rows(TEXTS))
    np.testing.assert_allclose([result["sentiment"] for result in results], expected, atol=1e-6)


def test_long_texts_are_cut_and_noted(models: Path) -> None:
    extractor = build(models, model="sentiment/tiny")
    long, longer = extractor.extract(make_rows(["happy " * 60, "happy " * 600]))
    np.testing.assert_array_equal(long["sentiment"], longer["sentiment"])
    # A word is a token, and two are added; BERT has a position for each of 40.
    assert long["reason"] == "truncated: the first 40 of 62 tokens were read"
    just, over = extractor.extract(make_rows(["happy " * 38, "happy " * 39]))
    assert just["reason"] is None and over["reason"] == "truncated: the first 40 of 41 tokens were read"
    assert long["sentiment"].sum() == pytest.approx(1, abs=1e-6)


def test_the_model_does_not_drop_out(models: Path) -> None:
    extractor = build(models, model="sentiment/tiny")
    first, second = (extractor.extract(make_rows(TEXTS)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a["sentiment"], b["sentiment"])


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "negative", 1: "positive"},
        {0: "negative", 1: "neutral", 2: "positive", 3: "mixed"},
        {0: "negative", 1: "Negative", 2: "positive"},
        {0: "negative", 1: "neutral", 2: "positive", 3: "Positive "},
    ],
)
def test_other_labels_are_refused_by_name(tmp_path: Path, labels: dict[int, str]) -> None:
    with pytest.raises(ModelError, match=", ".join(labels.values())):
        find_order(labels, "m")
    if len(set(labels.values())) == len(labels):
        save_classifier(tmp_path / "m", labels)
        with pytest.raises(ModelError, match=r"features\.sentiment\.model: m has the labels"):
            build(tmp_path, model="m")


def test_order_of_the_papers_model() -> None:
    assert find_order({0: "negative", 1: "neutral", 2: "positive"}, "m") == [0, 1, 2]
    assert find_order(PERMUTED, "m") == [1, 2, 0]
    assert find_order({0: "POSITIVE", 1: " negative", 2: "neutral "}, "m") == [1, 2, 0]


def test_a_model_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a job must not download"))
    with pytest.raises(
        ModelError, match=r"no .*nobody/nothing, and the Hugging Face cache lacks .*fetch nobody/nothing --models-dir"
    ):
        build(tmp_path, model="nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty cannot be loaded .*; put a complete model there"):
        build(tmp_path, model="empty")
    folder = save_classifier(tmp_path / "damaged", PERMUTED)
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0garbage")
    with pytest.raises(ModelError, match="damaged cannot be loaded"):
        build(tmp_path, model="damaged")


def test_a_model_is_found_in_the_hugging_face_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a job must not download"))
    repository = tmp_path / "cache" / "models--somebody--tiny"
    save_classifier(repository / "snapshots" / "c0ffee", PERMUTED)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    result = build(tmp_path / "models", model="somebody/tiny").extract(make_rows(TEXTS[:1]))[0]
    positive, negative, neutral = reference(repository / "snapshots" / "c0ffee", TEXTS[0])
    np.testing.assert_allclose(result["sentiment"], [negative, neutral, positive], atol=1e-5)


def test_the_papers_model_has_a_sentencepiece_vocabulary_only(tmp_path: Path) -> None:
    """`cardiffnlp/twitter-xlm-roberta-base-sentiment` has no tokenizer.json: transformers builds one with `sentencepiece`."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path / "xlmr"
    config = XLMRobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, id2label={0: "negative", 1: "neutral", 2: "positive"},
    )  # fmt: skip
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20), model_prefix=str(folder / "v"), vocab_size=26, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "v.model"))
    (folder / "v.model").rename(folder / "sentencepiece.bpe.model")
    extractor = build(tmp_path, model="xlmr")
    # fairseq's vocabulary puts <pad> before sentencepiece's pieces, so that all move by one.
    expected = [0, *(piece + 1 for piece in pieces.encode(TEXTS[0])), 2]
    assert extractor.classify.tokenise(TEXTS[0]).ids == expected
    assert extractor.extract(make_rows(TEXTS[:1]))[0]["sentiment"].sum() == pytest.approx(1, abs=1e-6)


def test_a_classifier_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    """Symptom: each word was unknown to a tokenizer that `transformers` made up, and all texts had the sentiment of that."""
    (save_classifier(tmp_path / "m", PERMUTED) / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"features\.sentiment\.model: .* has no tokenizer\.json, nor vocab\.txt"):
        build(tmp_path, model="m")


def test_a_head_that_is_missing_is_not_made_up(tmp_path: Path) -> None:
    save_classifier(tmp_path / "body", PERMUTED, headless=True)
    with pytest.raises(ModelError, match=r"body lacks weights \(classifier\.bias, classifier\.weight"):
        build(tmp_path, model="body")


def test_vader_follows_its_documented_thresholds() -> None:
    extractor = build(Path(), engine="vader")
    # Two examples of VADER's README, with compound 0.8316 and -0.5461 there, and a sentence of its neutral kind.
    texts = ["VADER is smart, handsome, and funny.", "The book is on the table.", "Today SUX!"]
    results = extractor.extract(make_rows(texts))
    assert [result["sentiment_label"] for result in results] == ["positive", "neutral", "negative"]
    np.testing.assert_array_equal([result["sentiment"] for result in results], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("compound", "label"),
    [
        (0.05, "positive"),
        (0.0499, "neutral"),
        (0.0, "neutral"),
        (-0.0499, "neutral"),
        (-0.05, "negative"),
        (1.0, "positive"),
    ],
)
def test_vader_at_its_thresholds(monkeypatch: pytest.MonkeyPatch, compound: float, label: str) -> None:
    extractor = build(Path(), engine="vader")
    monkeypatch.setattr(extractor.classify.analyzer, "polarity_scores", lambda text: {"compound": compound})
    assert extractor.extract(make_rows(["x"]))[0]["sentiment_label"] == label


REPETITION = "repetition: the text's compression ratio is 26.3, allowed is 2.4"
ASSUMED = "language_assumed: en, the only one that the recogniser knows; the corpus names none"


def test_a_doubtful_transcript_gives_no_sentiment_unless_asked_for() -> None:
    row = {**make_rows(["i am very glad"])[0], "transcript_notes": [REPETITION, ASSUMED]}
    assert build(Path(), engine="vader").extract([row]) == [
        {"status": "absent", "reason": "doubtful_transcript: repetition, language_assumed"}
    ]
    (noted,) = build(Path(), engine="vader", doubtful="note").extract([row])
    assert noted["sentiment_label"] == "positive"
    assert noted["reason"] == "doubtful_transcript: repetition, language_assumed"


def test_a_sentiment_inherits_an_assumed_language_and_keeps_its_own_note(models: Path) -> None:
    row = {**make_rows(["happy " * 60])[0], "transcript_notes": [ASSUMED]}
    (result,) = build(models, model="sentiment/tiny").extract([row])
    assert result["sentiment_label"] and result["reason"] == (
        "doubtful_transcript: language_assumed | truncated: the first 40 of 62 tokens were read"
    )


def test_vader_leaves_other_languages_alone() -> None:
    rows = make_rows(["ich bin sehr froh"], "de") + make_rows(["i am very glad"], None)
    german, unknown = build(Path(), engine="vader").extract(rows)
    assert german["status"] == "absent" and german["reason"].startswith("language_not_supported:")
    assert unknown["sentiment_label"] == "positive"
    assert unknown["reason"] == "language_assumed: en, the only one that VADER knows; the corpus names none"
    assert build(Path(), engine="vader").extract(rows[:1])[0]["status"] == "absent"


def test_results_fit_the_table(models: Path) -> None:
    for extractor in (build(models, model="sentiment/tiny"), build(models, engine="vader")):
        result = extractor.extract(make_rows(["i am so happy"]))[0]
        row = {"utterance_id": "c/x", "key": "k", "status": "ok", **result}
        assert len(pa.Table.from_pylist([row], schema=schema.feature_table("sentiment"))["sentiment"][0].as_py()) == 3
