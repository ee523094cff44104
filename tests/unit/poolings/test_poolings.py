"""What every pooling promises, alone and in a backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from emoadapt import plugins
from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.speech_transformer import Config
from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.heads import build_head
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.poolings.base import Pooling, load_pooling

SMALL = {
    "conv_dim": (12, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 4, 4), "hidden_size": 32, "layers": 2,
    "heads": 4, "intermediate_size": 48, "conv_pos_kernel": 6, "conv_pos_groups": 4, "dropout": 0.0,
}  # fmt: skip
every = pytest.mark.parametrize("name", plugins.list_plugins("poolings"))


def make(name: str, **options: Any) -> SpeechBackbone:
    config = Config.model_validate({"architecture": "hubert", "untrained": SMALL, "pooling": name, **options})
    backbone = load_backbone(config, Path("nowhere"))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in backbone.pooling.parameters():
            # A recurrent network of large weights is chaotic: rounding would grow from frame to frame.
            parameter.normal_(std=0.05 if name == "gru" else 0.5)
    return backbone.eval()


def make_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [0.1 * torch.randn(n, generator=generator) + 0.05 for n in lengths]


@every
def test_frames_beyond_the_end_do_not_count(name: str) -> None:
    pooling = load_pooling(name, 6)
    hidden, lengths = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([5, 1, 3])
    alone = torch.cat(
        [pooling(row[None, :n], lengths[i : i + 1]) for i, (row, n) in enumerate(zip(hidden, lengths, strict=True))]
    )
    for row, n in zip(hidden, lengths, strict=True):
        row[n:] = torch.nan
    together = pooling(hidden.half(), lengths)
    assert together.shape == (3, pooling.width)
    assert together.dtype == torch.float32
    torch.testing.assert_close(pooling(hidden, lengths), alone, atol=1e-6, rtol=0)


@every
def test_weights_depend_on_nothing_but_the_shape(name: str) -> None:
    before = torch.random.get_rng_state()
    first = load_pooling(name, 6).state_dict()
    torch.random.manual_seed(5)
    assert all(torch.equal(value, first[key]) for key, value in load_pooling(name, 6).state_dict().items())
    torch.random.set_rng_state(before)


@every
def test_everything_learns_even_of_one_frame(name: str) -> None:
    pooling = load_pooling(name, 6).train()
    hidden = torch.randn(2, 4, 6, requires_grad=True)
    pooling(hidden, torch.tensor([4, 1])).square().sum().backward()
    for value in (hidden, *pooling.parameters()):
        assert value.grad is not None
        assert value.grad.isfinite().all()


@every
def test_backbone_pools_alone_as_in_a_padded_batch_and_comes_back(name: str, tmp_path: Path) -> None:
    backbone, clips = make(name), make_clips(3000, 8000, 5001)
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
        assert together.shape == (3, backbone.width)
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
        backbone.save(tmp_path / "model", {})
        assert torch.equal(load_folder(tmp_path / "model", origin="x", trained=True).eval()(clips), together)
        config = Config.model_validate({"architecture": "hubert", "untrained": SMALL, "pooling": name})
        assert torch.equal(load_backbone(config, tmp_path, tmp_path / "model").eval()(clips), together)
    assert backbone.embed_layers(clips).shape == (3, 3, 32)
    kept = json.loads((tmp_path / "model/config.json").read_text()).get("emoadapt_pooling", "mean")
    assert kept == name
    assert (backbone.library == "transformers") is (name == "mean")


@every
@pytest.mark.parametrize("head", ["mlp", "hf", "linear"])
def test_classifier_comes_back_and_is_exported(name: str, head: str, tmp_path: Path) -> None:
    backbone = make(name, layers="weighted" if head == "hf" else "last")
    classifier = EmotionClassifier(backbone, build_head(head, backbone.width, 8, 3, 0), ["a", "b", "c"]).eval()
    classifier.save(tmp_path / "model", {})
    again = load_classifier(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(again(make_clips(3000, 5000)), classifier(make_clips(3000, 5000)))
    if backbone.pooling.obstacle:
        with pytest.raises(ModelError, match=f"cannot be exported to ONNX, because {backbone.pooling.obstacle}; use"):
            export_onnx(again, tmp_path / "model.onnx")
    elif head == "mlp" and name != "mean":  # the mean is exported in tests/unit/inference
        assert all(found.difference < 1e-3 for found in export_onnx(again, tmp_path / "model.onnx"))
    alone = head == "hf" and name == "mean"
    assert (tmp_path / "model/head.safetensors").exists() is not alone


def test_a_study_can_return_to_mean_pooling(tmp_path: Path) -> None:
    make("attentive_statistics").save(tmp_path / "model", {})
    config = Config.model_validate({"architecture": "hubert", "weights": "model"})
    backbone = load_backbone(config, tmp_path)
    backbone.save(tmp_path / "again", {})
    assert backbone.pooling.name == "mean"
    assert not (tmp_path / "again/pooling.safetensors").exists()
    assert "emoadapt_pooling" not in (tmp_path / "again/config.json").read_text()


def test_attentive_statistics_by_hand() -> None:
    """Frames 1 and 3 with scores 0 and ln 3 weigh 1/4 and 3/4."""
    pooling = load_pooling("attentive_statistics", 1)
    attend(pooling)
    with torch.no_grad():
        found = pooling(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2]))
    # Mean 2.5, variance 1/4 * 1.5 ** 2 + 3/4 * 0.5 ** 2 = 0.75
    torch.testing.assert_close(found, torch.tensor([[2.5, 0.75**0.5]]))


def test_attentive_statistics_begin_as_in_the_challenge_s_baseline() -> None:
    """A layer as wide as a frame with a bias, and a standard normal vector without."""
    attention = load_pooling("attentive_statistics", 400).attention
    assert {name: tuple(value.shape) for name, value in attention.state_dict().items()} == {
        "0.weight": (400, 400), "0.bias": (400,), "2.weight": (1, 400),
    }  # fmt: skip
    assert 0.9 < float(attention[2].weight.std()) < 1.1


def test_attention_by_hand() -> None:
    """Weights 1/4 and 3/4, as below."""
    pooling = load_pooling("attention", 1)
    attend(pooling)
    with torch.no_grad():
        found = pooling(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2]))
    torch.testing.assert_close(found, torch.tensor([[2.5]]))


def test_last_is_the_last_valid_frame() -> None:
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    assert load_pooling("last", 2)(hidden, torch.tensor([3, 1])).tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_gru_gives_its_output_at_the_last_frame() -> None:
    pooling, hidden = load_pooling({"name": "gru", "hidden": 5, "layers": 3}, 4), torch.randn(2, 6, 4)
    assert (pooling.width, pooling.gru.num_layers) == (5, 3)
    with torch.no_grad():
        outputs, last = pooling.gru(hidden[:1, :4])
        assert torch.allclose(pooling(hidden, torch.tensor([4, 6]))[0], outputs[0, 3], atol=1e-6)
        assert torch.equal(outputs[0, 3], last[2, 0]), "the state of the uppermost layer"


def test_an_embedding_is_a_linear_layer_on_the_pooled_vector(tmp_path: Path) -> None:
    options = {"pooling": {"name": "gru", "hidden": 6}, "embedding": 3}
    config = Config.model_validate({"architecture": "hubert", "untrained": SMALL, **options})
    backbone, clips = load_backbone(config, Path("nowhere")).eval(), make_clips(3000, 5000)
    assert (backbone.width, backbone.library) == (3, "emoadapt")
    with torch.no_grad():
        frames, lengths = backbone.encode_cnn(clips)
        hidden = backbone.encode(frames, lengths)
        linear, pooled = backbone.pooling.linear, backbone.pooling.pooling(hidden, lengths)
        assert torch.allclose(backbone(clips), pooled @ linear.weight.T + linear.bias, atol=1e-6)
        backbone.save(tmp_path, {})
        for again in (load_folder(tmp_path, origin="x", trained=True), load_backbone(config, tmp_path, tmp_path)):
            assert torch.equal(again.eval()(clips), backbone(clips))
    assert "pooled over time by `gru, then a linear layer`" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("pooling", "said"),
    [
        ({"name": "gru", "heads": 2}, "pooling gru has no option heads; it has hidden, layers"),
        ({"name": "mean", "hidden": 2}, "pooling mean has no option hidden; it has none"),
        ({"name": "gru", "hidden": 0}, "pooling gru: hidden is 0; give a value like 128"),
        ({"name": "gru", "hidden": 1.5}, r"pooling gru: hidden is 1.5; give a value like 128"),
        ({"hidden": 8}, "needs its name; write"),
    ],
)
def test_options_of_a_pooling_are_checked(pooling: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config.model_validate({"architecture": "hubert", "untrained": {}, "pooling": pooling})


def attend(pooling: Pooling) -> None:
    """Scores 0 and ln 3 for the frames 1 and 3 of one dimension."""
    with torch.no_grad():
        for parameter in pooling.parameters():
            parameter.zero_()
        pooling.attention[0].weight[0], pooling.attention[0].bias[0] = 1.0, -1.0
        pooling.attention[2].weight[0, 0] = torch.log(torch.tensor(3.0)) / torch.tanh(torch.tensor(2.0))


def test_unknown_pooling_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="pooling meen is not known; did you mean mean"):
        Config.model_validate({"architecture": "hubert", "untrained": {}, "pooling": "meen"})


def test_pooling_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "poolings").mkdir()
    (tmp_path / "poolings/empty.py").touch()
    plugins.use_folder(tmp_path)
    try:
        with pytest.raises(ConfigError, match=r"pooling empty cannot be used .* see docs/add-a-pooling"):
            load_pooling("empty", 3)
    finally:
        plugins.use_folder(None)


@every
def test_new_weights_are_drawn_from_a_seed_and_those_of_a_folder_stay(name: str, tmp_path: Path) -> None:
    config = {"architecture": "hubert", "untrained": SMALL, "pooling": name, "embedding": 8}
    backbone = load_backbone(Config.model_validate(config), Path("nowhere"))
    before = backbone.pooling.linear.weight.clone()
    assert backbone.redraw(1)
    first = {key: value.clone() for key, value in backbone.state_dict().items()}
    assert not torch.equal(first["pooling.linear.weight"], before)
    assert backbone.redraw(2)
    assert not torch.equal(backbone.pooling.linear.weight, first["pooling.linear.weight"])
    assert backbone.redraw(1)
    assert all(torch.equal(value, first[key]) for key, value in backbone.state_dict().items())
    backbone.save(tmp_path / "model", {})
    saved = load_folder(tmp_path / "model", origin="saved", trained=True)
    assert not saved.redraw(2)
    assert torch.equal(saved.pooling.linear.weight, first["pooling.linear.weight"])


def test_a_mean_has_nothing_to_draw() -> None:
    assert not make("mean").redraw(1)


def test_adapters_are_drawn_from_a_seed_and_begin_as_no_change() -> None:
    backbone = make("mean", lora={"rank": 2})
    clips = make_clips(4000)
    before = backbone(clips)
    drawn = {name: value.clone() for name, value in backbone.state_dict().items() if "lora_A" in name}
    assert backbone.redraw(1)
    assert torch.equal(backbone(clips), before)
    assert not any(torch.equal(backbone.state_dict()[name], value) for name, value in drawn.items())
