"""Text encoders on tokens, against `transformers`; a text is the same alone and in a padded batch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from emoadapt.backbones.base import list_modules, load_backbone, load_folder
from emoadapt.backbones.text_transformer import ARCHITECTURES, MODEL_TYPES, Config
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import Stream
from emoadapt.errors import DataError, ModelError
from emoadapt.layers.text import TextBackbone

from ..transcription.text_models import POSITIONS, TEXTS, save_encoder

SMALL = {
    "hidden_size": 16,
    "layers": 3,
    "heads": 2,
    "intermediate_size": 32,
    "vocabulary": 50,
    "positions": 20,
    "dropout": 0.0,
}
LENGTHS = (3, 20, 1, 7)


def make(architecture: str = "bert", **options: Any) -> TextBackbone:
    """A small backbone whose biases, layer weights and adapters are not what they begin with, which would hide faults."""
    config = Config.model_validate({"architecture": architecture, "untrained": SMALL, **options})
    backbone = load_backbone(config, Path("nowhere"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias") or "lora_" in name or name == "layer_weights" or "position" in name:
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def make_texts(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(2, 50, (n,), generator=generator, dtype=torch.int32) for n in lengths]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model_type in ("bert", "roberta", "distilbert"):
        save_encoder(folder / model_type, model_type)
    return folder


def test_architectures_are_those_of_the_section() -> None:
    assert (
        get_args(Config.__annotations__["architecture"] and Config.model_fields["architecture"].annotation)
        == ARCHITECTURES
    )
    assert get_args(Config.model_fields["architecture"].annotation) == ARCHITECTURES
    assert ARCHITECTURES == MODEL_TYPES


@pytest.mark.parametrize(
    "options", [{}, {"layers": "weighted"}, {"pooling": "attentive_statistics"}, {"pooling": "last"}]
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_is_the_same_alone_and_in_a_padded_batch(architecture: str, options: dict[str, Any]) -> None:
    backbone, texts = make(architecture, **options), make_texts(*LENGTHS)
    together = backbone(texts)
    alone = torch.cat([backbone([text]) for text in texts])
    assert together.shape == (4, backbone.width) and together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=2e-6, rtol=1e-5)
    assert (alone[0] - alone[3]).abs().max() > 0.05
    layers = backbone.embed_layers(texts)
    torch.testing.assert_close(layers[1:2], backbone.embed_layers(texts[1:2]), atol=2e-6, rtol=1e-5)
    assert layers.shape == (4, 4, 16) and not layers.requires_grad


def test_a_batch_of_a_training_gives_what_its_texts_give() -> None:
    backbone, texts = make("roberta", layers="weighted"), make_texts(*LENGTHS)
    streams = Config(architecture="roberta", untrained={}).streams
    batch = collate_clips([Clip(str(n), {"tokens": text}) for n, text in enumerate(texts)], streams)
    torch.testing.assert_close(backbone.embed(batch), backbone(texts))
    torch.testing.assert_close(backbone.embed_layers(batch), backbone.embed_layers(texts))


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_what_stands_in_the_padding_does_not_count(architecture: str) -> None:
    backbone = make(architecture)
    ids, lengths = torch.full((2, 9), 4), torch.tensor([9, 5])
    other = ids.clone()
    other[1, 5:] = torch.tensor([1, 49, 0, 2])
    for first, second in zip(backbone.encode_layers(ids, lengths), backbone.encode_layers(other, lengths), strict=True):
        torch.testing.assert_close(first[0], second[0], atol=0, rtol=0)
        torch.testing.assert_close(first[1, :5], second[1, :5], atol=0, rtol=0)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
def test_layers_are_those_of_transformers(models: Path, model_type: str) -> None:
    config = Config(architecture=model_type, weights=model_type)
    backbone = load_backbone(config, models).eval()
    model, tokenizer = (kind.from_pretrained(models / model_type) for kind in (AutoModel, AutoTokenizer))
    padded = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model.eval()(**padded, output_hidden_states=True).hidden_states
        lengths = padded["attention_mask"].sum(dim=1)
        found = backbone.encode_layers(padded["input_ids"], lengths)
        (last,) = backbone.encode_layers(padded["input_ids"], lengths, every=False)
    assert len(found) == len(expected) == 4
    valid = padded["attention_mask"].bool()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[valid], theirs[valid], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last[valid], expected[-1][valid], atol=1e-5, rtol=1e-5)
    texts = [torch.tensor(ids) for ids in tokenizer(list(TEXTS))["input_ids"]]
    mean = torch.stack([state[: len(text)].mean(dim=0) for state, text in zip(expected[-1], texts, strict=True)])
    torch.testing.assert_close(backbone(texts).detach(), mean, atol=1e-5, rtol=1e-5)


def test_a_weighted_mean_of_layers_by_hand() -> None:
    backbone, (text,) = make("roberta", layers="weighted"), make_texts(5)
    states = backbone.encode_layers(text[None], torch.tensor([5]))
    shares = backbone.layer_weights.exp() / backbone.layer_weights.exp().sum()
    assert len(states) == len(shares) == 4 and shares.std() > 0.05
    expected = sum(share * state[0].mean(dim=0) for share, state in zip(shares, states, strict=True))
    torch.testing.assert_close(backbone([text])[0], expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_some_layers_are_trained(architecture: str) -> None:
    backbone = make(architecture, train_layers=1, layers="weighted")
    backbone.train()(make_texts(*LENGTHS)).square().sum().backward()
    changed = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert changed == {"layer_weights", *(name for name, _ in backbone.named_parameters() if "layer.2." in name)}
    with pytest.raises(ModelError, match="has 3 layers, train_layers is 4"):
        make(architecture, train_layers=4)


def test_all_weights_are_trained() -> None:
    for architecture in ARCHITECTURES:
        backbone = make(architecture)
        backbone.train()(make_texts(*LENGTHS)).square().sum().backward()
        assert not [name for name, parameter in backbone.named_parameters() if parameter.grad is None], architecture


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_are_trained_and_merged(architecture: str, tmp_path: Path) -> None:
    backbone, texts = make(architecture, lora={"rank": 2}), make_texts(*LENGTHS)
    assert (backbone(texts) - make(architecture)(texts)).abs().max() > 0.01
    backbone.train()(texts).square().sum().backward()
    trained = [name for name, parameter in backbone.named_parameters() if parameter.grad is not None]
    assert len(trained) == 3 * 2 * 2 and all("lora_" in name for name in trained)
    expected = backbone.eval()(texts)
    backbone.save(tmp_path / "m", {"title": "merged"})
    again = load_folder(tmp_path / "m", origin="m", trained=False).eval()
    torch.testing.assert_close(again(texts), expected, atol=1e-5, rtol=1e-5)
    assert not [name for name, _ in again.named_parameters() if "lora" in name]


def test_adapters_in_layers_that_are_not_there() -> None:
    with pytest.raises(ModelError, match="a bert model has no layers called q_proj"):
        make("bert", lora={"modules": ["q_proj"]})
    assert make("bert", lora={"modules": ["dense"]}).width == 16


def test_untrained_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (
        load_backbone(Config(architecture="bert", untrained=SMALL | {"seed": seed}), Path("x")) for seed in (1, 1, 2)
    )
    states = [torch.cat([parameter.flatten() for parameter in model.parameters()]) for model in (first, again, other)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])
    assert not first.trained and first.origin == "randomly initialised (seed 1)"


@pytest.mark.parametrize("options", [{}, {"layers": "weighted"}, {"pooling": "attention"}])
def test_a_saved_model_is_a_whole_one(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    config = Config(architecture="roberta", weights="roberta", **options)
    backbone = load_backbone(config, models).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    backbone.save(tmp_path / "m", {"title": "a text model"})
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    texts = [torch.tensor(ids) for ids in tokenizer(list(TEXTS))["input_ids"]]
    expected = backbone(texts)
    again = load_backbone(config, tmp_path, source=tmp_path / "m").eval()
    assert torch.equal(again(texts), expected)
    assert again.tokenizer == backbone.tokenizer and {"tokenizer.json", "vocab.json"} <= {*again.tokenizer}
    card = (tmp_path / "m/README.md").read_text()
    assert "Input: the tokens of a text" in card and "audio" not in card.replace("audiovisual", "")
    code = card.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"text": TEXTS[0]}
    monkeypatch.chdir(tmp_path / "m")
    exec(code, names)
    torch.testing.assert_close(names["embedding"][0], expected[0], atol=1e-5, rtol=1e-5)


def test_the_card_of_a_model_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    make("bert").save(tmp_path / "m", {"title": "x"})
    card = (tmp_path / "m/README.md").read_text()
    assert "AutoTokenizer.from_pretrained(TOKENIZER)" in card and 'AutoTokenizer.from_pretrained(".")' not in card
    assert "this folder has no tokenizer" in card


def test_folders_that_are_no_such_model(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bert is a bert model, the configuration says roberta; change"):
        load_backbone(Config(architecture="roberta", weights="bert"), models)
    with pytest.raises(ModelError, match=r"weights 'nothing' are missing"):
        load_backbone(Config(architecture="bert", weights="nothing"), models)
    folder = tmp_path / "cut"
    folder.mkdir()
    content = json.loads((models / "bert/config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"num_hidden_layers": 5}))
    (folder / "model.safetensors").write_bytes((models / "bert/model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"cut: .* lacks 32 weights"):
        load_backbone(Config(architecture="bert", weights="cut"), tmp_path)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"cut: the text encoder in .* cannot be loaded"):
        load_backbone(Config(architecture="bert", weights="cut"), tmp_path)


def test_tokens_of_another_model_are_refused(models: Path) -> None:
    backbone = load_backbone(Config(architecture="bert", weights="bert"), models)
    with pytest.raises(DataError, match=r"bert knows 19 tokens, a text has token 19; .*features\.text_tokens\.model"):
        backbone([torch.tensor([2, 19, 3])])
    with pytest.raises(DataError, match=rf"bert reads {POSITIONS} tokens, a text has {POSITIONS + 1}"):
        backbone([torch.full((POSITIONS + 1,), 5)])
    assert backbone([torch.full((POSITIONS,), 5)]).shape == (1, 16)
    with pytest.raises(DataError, match="reads tokens of a text, and was given audio"):
        backbone([torch.zeros(1600)])


def test_the_section_says_what_is_wrong() -> None:
    for options in ({}, {"weights": "a/b", "untrained": {}}):
        with pytest.raises(ValueError, match="either `weights` or `untrained`"):
            Config.model_validate({"architecture": "bert", **options})
    with pytest.raises(ValueError, match="hidden_size 30 must be a multiple of heads 4"):
        Config.model_validate({"architecture": "bert", "untrained": {"hidden_size": 30}})
    config = Config(architecture="bert", untrained={"layers": 12})
    assert config.streams == {"tokens": Stream("text_tokens", "text_tokens", "tokens")}
    assert (config.depth, config.provenance, config.features) == (13, "untrained", ("text_tokens",))
    assert list_modules(config, Path("x")) == ["emoadapt.backbones.text_transformer", "emoadapt.poolings.mean"]


def test_it_learns_to_tell_texts_apart(models: Path) -> None:
    backbone = load_backbone(Config(architecture="bert", weights="bert", train_layers=2), models)
    tokenizer = AutoTokenizer.from_pretrained(models / "bert")
    texts = [torch.tensor(ids) for ids in tokenizer(list(TEXTS))["input_ids"]]
    wanted, head = torch.tensor([0, 1, 0, 1]), torch.nn.Linear(16, 2)
    optimiser = torch.optim.Adam([*backbone.parameters(), *head.parameters()], 1e-2)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(head(backbone(texts)), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.skipif(
    not Path(os.environ.get("EMOADAPT_MODELS", ""), "minilm").is_dir(), reason="EMOADAPT_MODELS has no minilm"
)
def test_the_real_minilm_alone_and_in_a_batch() -> None:
    models = Path(os.environ["EMOADAPT_MODELS"])
    backbone = load_backbone(Config(architecture="bert", weights="minilm"), models).eval()
    assert len(backbone.layers) == 6 and backbone.width == 384 and backbone.longest == 512
    assert backbone.notes == ["Not used of the weights: pooler."]
    words = ["Kids are talking by the door.", "Dogs are sitting by the door.", "No!", "What a lovely day " * 20]
    tokenizer, model = (
        AutoTokenizer.from_pretrained(models / "minilm"),
        AutoModel.from_pretrained(models / "minilm").float().eval(),
    )
    texts = [torch.tensor(ids) for ids in tokenizer(words, padding=False, truncation=False)["input_ids"]]
    with torch.no_grad():
        states = [model(text[None], output_hidden_states=True).hidden_states for text in texts]
        expected = torch.stack([torch.stack([state[0].mean(dim=0) for state in found]) for found in states])
        together = backbone(texts)
    torch.testing.assert_close(together, expected[:, -1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(backbone.embed_layers(texts), expected, atol=2e-5, rtol=1e-4)
