"""Tokens of texts, against `transformers` itself, and folders that hold no tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from transformers import AutoModel, AutoTokenizer

from emoadapt.errors import ClipError, ModelError
from emoadapt.transcription.encoders import load_encoder
from emoadapt.transcription.tokens import Tokeniser

from .text_models import POSITIONS, TEXTS, save_encoder

TYPES = ("bert", "roberta", "distilbert")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model_type in TYPES:
        save_encoder(folder / model_type, model_type)
    return folder


@pytest.mark.parametrize("model_type", TYPES)
def test_tokens_are_those_of_the_models_tokenizer(models: Path, model_type: str) -> None:
    tokenise, expected = (make(models / model_type) for make in (open_tokenizer, AutoTokenizer.from_pretrained))
    for text in TEXTS:
        tokens = tokenise(text)
        assert tokens.ids == expected(text)["input_ids"]
        assert tokens.added == [True, *[False] * (len(tokens.ids) - 2), True]
        assert tokens.note is None
        own = [token for token, added in zip(tokens.ids, tokens.added, strict=True) if not added]
        assert own == expected(text, add_special_tokens=False)["input_ids"]


def open_tokenizer(folder: Path) -> Tokeniser:
    return Tokeniser(folder, "features.text_tokens.model")


@pytest.mark.parametrize("model_type", TYPES)
def test_a_long_text_is_cut_at_the_last_position_of_the_model(models: Path, model_type: str) -> None:
    """RoBERTa numbers positions from 2 on, so two of those that its configuration states cannot be used."""
    tokenise = open_tokenizer(models / model_type)
    assert tokenise.longest == POSITIONS
    text = "dogs " * 60
    tokens = tokenise(text.strip())
    count = len(AutoTokenizer.from_pretrained(models / model_type)(text.strip(), verbose=False)["input_ids"])
    assert tokens.note == f"truncated: the first {POSITIONS} of {count} tokens were read"
    assert len(tokens.ids) == POSITIONS and tokens.added == [True, *[False] * (POSITIONS - 2), True]
    model = AutoModel.from_pretrained(models / model_type)
    ids = model.dummy_inputs["input_ids"].new_tensor([tokens.ids])
    assert model(ids).last_hidden_state.shape[1] == POSITIONS
    with pytest.raises((IndexError, RuntimeError)):
        model(ids[:, [0, *range(POSITIONS)]])
    fits = tokenise(" ".join(["dogs"] * (POSITIONS - 2)))
    assert fits.note is None or model_type == "roberta"


def test_padding_and_truncation_that_a_tokenizer_states_are_not_applied(models: Path, tmp_path: Path) -> None:
    """Symptom: tokenizers of sentence encoders pad each text to 128 tokens."""
    folder = copy_folder(models / "bert", tmp_path / "m")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    file.write_text(json.dumps(content))
    for text in TEXTS:
        assert open_tokenizer(folder)(text) == open_tokenizer(models / "bert")(text)


@pytest.mark.parametrize("text", ["", "   ", "\u0000\u200b", "xyzzy plugh"])
def test_a_text_of_which_nothing_is_known_is_absent(models: Path, text: str) -> None:
    with pytest.raises(ClipError, match="the tokenizer knows nothing of the text") as caught:
        open_tokenizer(models / "bert")(text)
    assert caught.value.status == "absent"


def test_unknown_words_beside_known_ones_are_tokens(models: Path) -> None:
    assert open_tokenizer(models / "bert")("xyzzy dogs").ids == [2, 1, 6, 3]


def copy_folder(source: Path, target: Path, without: tuple[str, ...] = ()) -> Path:
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.name not in without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize(
    ("model_type", "without", "sentence"),
    [
        ("bert", ("tokenizer.json",), "has no tokenizer.json, nor vocab.txt"),
        ("bert", ("tokenizer.json", "tokenizer_config.json"), "has no tokenizer.json, nor vocab.txt"),
        ("distilbert", ("tokenizer.json",), "has no tokenizer.json, nor vocab.txt"),
        ("roberta", ("tokenizer.json", "merges.txt"), "the tokenizer in .* cannot be loaded"),
        (
            "roberta",
            ("tokenizer.json", "vocab.json", "merges.txt"),
            "has no tokenizer.json, nor vocab.json and merges.txt",
        ),
        ("bert", ("config.json",), "the tokenizer in .* cannot be loaded"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(
    models: Path, tmp_path: Path, model_type: str, without: tuple[str, ...], sentence: str
) -> None:
    """Symptom: `transformers` makes a tokenizer of five tokens up, in which each word is unknown, and says nothing."""
    folder = copy_folder(models / model_type, tmp_path / "m", without)
    with pytest.raises(ModelError, match=rf"^features\.text_tokens\.model: .*{sentence}.*fetch the model again$"):
        open_tokenizer(folder)


def test_a_damaged_tokenizer_is_refused(models: Path, tmp_path: Path) -> None:
    folder = copy_folder(models / "bert", tmp_path / "m")
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        open_tokenizer(folder)


def test_a_vocabulary_without_tokenizer_json_gives_the_same_tokens(models: Path, tmp_path: Path) -> None:
    """As of older checkpoints."""
    folder = copy_folder(models / "roberta", tmp_path / "r", ("tokenizer.json",))
    assert [open_tokenizer(folder)(text) for text in TEXTS] == [
        open_tokenizer(models / "roberta")(text) for text in TEXTS
    ]
    folder = copy_folder(models / "bert", tmp_path / "b", ("tokenizer.json",))
    words = AutoTokenizer.from_pretrained(models / "bert").get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
    assert [open_tokenizer(folder)(text) for text in TEXTS] == [open_tokenizer(models / "bert")(text) for text in TEXTS]


def test_a_tokenizer_of_another_model_is_refused(models: Path, tmp_path: Path) -> None:
    folder = copy_folder(models / "bert", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 12}))
    with pytest.raises(ModelError, match=r"makes tokens up to 18, the model of its config\.json knows 12"):
        open_tokenizer(folder)


def test_code_of_strangers_does_not_run(models: Path, tmp_path: Path) -> None:
    folder = copy_folder(models / "bert", tmp_path / "m")
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": [None, "mine.C"]}, "tokenizer_class": "C"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    try:
        assert open_tokenizer(folder)(TEXTS[0]).ids == open_tokenizer(models / "bert")(TEXTS[0]).ids
    except ModelError as error:
        assert "cannot be loaded" in str(error)
    assert not (tmp_path / "ran").exists()


def test_an_encoder_is_loaded_without_its_pooler_and_without_a_head(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    BertForMaskedLM(config).save_pretrained(tmp_path / "m")
    model, left_out = load_encoder(tmp_path / "m", "x")
    assert model.pooler is None and left_out == ["cls"] and not model.training
    assert load_encoder(save_encoder(tmp_path / "whole"), "x")[1] == ["pooler"]


def test_an_encoder_that_lacks_a_layer_is_refused(models: Path, tmp_path: Path) -> None:
    folder = copy_folder(models / "bert", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(ModelError, match=r"lacks 16 weights, such as encoder\.layer\.3"):
        load_encoder(folder, "x")
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0garbage")
    with pytest.raises(ModelError, match=r"^x: the text encoder in .* cannot be loaded"):
        load_encoder(folder, "x")
