"""The transformer over descriptors, against numbers worked out by hand and torch's own layers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.lld_transformer import Config
from emoadapt.config import load_study
from emoadapt.data.batching import Batch, collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import Stream
from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.inference.predict import predict_files
from emoadapt.layers.heads import ProjectedHead, seeded
from emoadapt.layers.lld_transformer import Layer, LldBackbone, Residual, place_frames

SMALL = {"dimension": 6, "width": 8, "layers": 1, "scaled_layers": 1, "heads": 2}


def make_config(**keys: Any) -> Config:
    return Config.model_validate({"architecture": "lld_transformer", **keys})


def make(**keys: Any) -> LldBackbone:
    return load_backbone(make_config(**keys), Path("nowhere"))


def make_clips(*lengths: int, dimension: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, dimension, generator=generator) for n in lengths]


def test_paper_s_network_has_the_parameters_counted_by_hand() -> None:
    """G22: 130 values a frame, two groups of five layers with ten heads, feed-forward parts four times as wide."""
    projection = 130 * 130 + 130
    attention = 4 * (130 * 130 + 130)  # queries, keys, values, and what joins the heads
    feed_forward = (130 * 520 + 520) + (520 * 130 + 130)
    norms = 2 * (130 + 130)
    layer = attention + feed_forward + norms
    alphas, ends = 5, 2 * (130 + 130)
    counted = projection + 10 * layer + alphas + ends
    backbone = make()
    assert sum(parameter.numel() for parameter in backbone.parameters()) == counted == 2_062_455
    assert (backbone.width, len(backbone.layers), backbone.layers[0].attention.num_heads) == (130, 10, 10)
    alphas = [layer.join.alpha for layer in backbone.layers]
    assert alphas[:5] == [None] * 5
    values = torch.cat(alphas[5:])
    assert len(set(values.tolist())) == 5 and values.min() >= 0 and values.max() < 1


def test_positions_are_those_of_vaswani() -> None:
    """Equation of Sec. 3.5, value by value."""
    positions = place_frames(50, 7)
    for frame in (0, 1, 49):
        for i in range(4):
            angle = frame / 10_000 ** (2 * i / 7)
            assert positions[frame, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            if 2 * i + 1 < 7:
                assert positions[frame, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("norm", ["before", "after"])
def test_a_plain_layer_computes_what_torch_s_encoder_layer_does(norm: str) -> None:
    shape = make_config(**SMALL, norm=norm)
    layer = Layer(shape, "none").eval()
    reference = torch.nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, norm_first=norm == "before").eval()
    reference.self_attn = layer.attention
    reference.linear1, reference.linear2 = layer.inner, layer.outer
    reference.norm1, reference.norm2 = layer.norms
    hidden, padding = torch.stack(make_clips(5, 5, dimension=8)), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    valid = ~padding
    found, expected = layer(hidden, padding), reference(hidden, src_key_padding_mask=padding)
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-5, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_padded_attention_computes_what_torch_s_module_does(training: bool) -> None:
    shape = make_config(**SMALL, attention_dropout=0.0)
    with seeded(3):
        layer, hidden = Layer(shape, "none").train(training), torch.randn(2, 5, 8)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    expected, _ = layer.attention(hidden, hidden, hidden, key_padding_mask=padding, need_weights=False)
    assert torch.allclose(layer._attend(hidden, padding), expected, atol=1e-6)


def test_evaluation_does_not_take_torch_s_slow_path_for_attention() -> None:
    """Symptom: an evaluation took as long as a training step on the same clips; torch's module has a path for it that is slow on a CPU."""
    backbone = make(**SMALL).eval()
    with torch.no_grad(), torch.profiler.profile() as record:
        backbone(make_clips(5, 3))
    names = {event.key for event in record.key_averages()}
    assert "aten::scaled_dot_product_attention" in names and "aten::_native_multi_head_attention" not in names


def test_residual_connections_are_scaled_as_in_auxformer() -> None:
    with seeded(3):
        tied, separate, plain = Residual("complement"), Residual("separate"), Residual("none")
    residual, branch = torch.tensor([2.0]), torch.tensor([10.0])
    alpha = tied.alpha.item()
    assert tied(residual, branch).item() == pytest.approx(2 * alpha + 10 * (1 - alpha))
    assert separate(residual, branch).item() == pytest.approx(2 * separate.alpha.item() + 10 * separate.beta.item())
    assert plain(residual, branch).item() == 12
    assert (len([*tied.parameters()]), len([*separate.parameters()]), len([*plain.parameters()])) == (1, 2, 0)
    tied(residual, branch).backward()
    assert tied.alpha.grad.item() == pytest.approx(2 - 10)


def test_both_parts_of_a_scaled_layer_are_scaled() -> None:
    """With alpha 1 a layer hands its input on; with alpha 0 nothing of its input is left but through the branches."""
    layer = Layer(make_config(**SMALL), "complement").eval()
    hidden, padding = torch.stack(make_clips(4, dimension=8)), torch.zeros(1, 4, dtype=torch.bool)
    with torch.no_grad():
        layer.join.alpha.fill_(1)
        assert torch.equal(layer(hidden, padding), hidden)
        layer.join.alpha.fill_(0)
        attended = layer._attend(layer.norms[0](hidden), padding)
        torch.testing.assert_close(layer(hidden, padding), layer._feed(layer.norms[1](attended), padding))


@pytest.mark.parametrize("keys", [{}, {"norm": "after"}, {"positions": "none"}, {"pooling": "last"}])
def test_clip_has_the_same_embedding_alone_and_in_a_padded_batch(keys: dict[str, Any]) -> None:
    backbone, clips = make(**SMALL, **keys).eval(), make_clips(40, 3, 17)
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.std(dim=0).min() > 1e-3


def test_positions_let_the_order_of_frames_count() -> None:
    (clip,) = make_clips(20)
    for positions, same in (("sinusoidal", False), ("none", True)):
        backbone = make(**SMALL, positions=positions).eval()
        with torch.no_grad():
            found = torch.allclose(backbone([clip]), backbone([clip.flip(0)]), atol=1e-5)
        assert found is same


def test_dropout_acts_in_training_alone_and_where_the_paper_says() -> None:
    backbone = make(**SMALL)
    assert [backbone.layers[0].attention_dropout.p, backbone.layers[0].residual_dropout.p] == [0.25, 0.1]
    hidden, padding = torch.stack(make_clips(400, dimension=8)), torch.zeros(1, 400, dtype=torch.bool)
    with seeded(0):
        attended = backbone.layers[0].train()._attend(hidden, padding)
    assert (attended == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert not (backbone.layers[0].eval()._attend(hidden, padding) == 0).any()


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = make(**SMALL).state_dict()
    torch.manual_seed(2)
    second, other = make(**SMALL).state_dict(), make(**SMALL, seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.projection.weight"], other["model.projection.weight"])
    assert not torch.equal(first["model.layers.1.join.alpha"], other["model.layers.1.join.alpha"])


def test_gradient_reaches_every_weight() -> None:
    backbone = make(**SMALL)
    backbone(make_clips(9, 5))[:, 0].sum().backward()
    silent = [name for name, value in backbone.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_card_says_what_the_model_reads(tmp_path: Path) -> None:
    make(**SMALL, reads="egemaps_frames").save(tmp_path, {"title": "x"})
    card = (tmp_path / "README.md").read_text()
    assert "Input: frames of the feature `egemaps_frames`" in card and "16 kHz" not in card
    assert "**not pretrained**" in card


def make_batch(clips: list[torch.Tensor]) -> Batch:
    stream = Stream("compare_frames", "compare_frames", "frames")
    return collate_clips([Clip(str(n), {"frames": clip}) for n, clip in enumerate(clips)], {"frames": stream})


def test_a_batch_of_the_engine_gives_the_embeddings_of_its_clips() -> None:
    backbone, clips = make(**SMALL).eval(), make_clips(9, 30)
    with torch.no_grad():
        torch.testing.assert_close(backbone.embed(make_batch(clips)), backbone(clips))


def test_frames_are_standardised_with_what_the_training_measured(tmp_path: Path) -> None:
    backbone, clips = make(**SMALL).eval(), make_clips(9, 30)
    mean, std = np.array([100.0, -3, 0, 0, 0, 7]), np.array([50.0, 0.1, 1, 1, 1, 2])
    with torch.no_grad():
        expected = backbone(clips)
        backbone.fit_input(mean, std)
        raw = [clip * torch.from_numpy(std).float() + torch.from_numpy(mean).float() for clip in clips]
        torch.testing.assert_close(backbone(raw), expected, atol=1e-4, rtol=0)
        assert not torch.allclose(backbone(clips), expected, atol=1e-2)
        backbone.save(tmp_path, {})
        again = load_folder(tmp_path, origin="mine", trained=False).eval()
        assert torch.equal(again(raw), backbone(raw))
    assert backbone.standardised and not make(**SMALL, normalise=False).standardised


def test_frames_of_another_dimension_are_refused() -> None:
    said = r"^the frames of compare_frames have 5 values, and the lld_transformer reads 6; set its `dimension: 5`$"
    with pytest.raises(ModelError, match=said):
        make(**SMALL)(make_clips(9, dimension=5))
    with pytest.raises(ModelError, match=said):
        make(**SMALL).fit_input(np.zeros(5), np.ones(5))


def test_fine_tuned_model_comes_back_and_needs_its_features_for_files(tmp_path: Path) -> None:
    head = ProjectedHead(8, 4, 3, seed=0)
    classifier = EmotionClassifier(make(**SMALL), head, classes=("a", "b", "c")).eval()
    classifier.save(tmp_path / "model", {"title": "x"})
    again, clips = load_classifier(tmp_path / "model"), make_clips(9, 30)
    assert torch.equal(again(clips), classifier(clips)) and again.classes == ("a", "b", "c")
    card = (tmp_path / "model/README.md").read_text()
    assert "emoadapt predict" in card and "predict_files" in card
    with pytest.raises(
        ModelError, match=r"^the model reads compare_frames, not audio alone, and its folder has no features\.json"
    ):
        predict_files(again, [])
    with pytest.raises(
        ModelError, match=r"^the model reads compare_frames, and only one that reads audio alone can be exp"
    ):
        export_onnx(again, tmp_path / "model.onnx")


def test_model_of_stage_1_is_loaded_with_its_own_shape(tmp_path: Path) -> None:
    backbone = make(**SMALL, seed=4, pooling="attention").eval()
    backbone.save(tmp_path / "model", {})
    again = load_backbone(make_config(**SMALL, pooling="attention"), tmp_path, tmp_path / "model").eval()
    clips = make_clips(12, 30)
    assert torch.equal(again(clips), backbone(clips))
    assert (again.reads, again.trained, again.shape.seed) == ("compare_frames", False, 4)


@pytest.mark.parametrize("damage", ["weights", "shape", "key", "text"])
def test_damaged_folder_is_refused_in_a_sentence(damage: str, tmp_path: Path) -> None:
    make(**SMALL).save(tmp_path, {})
    file, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    said = json.loads(file.read_text())
    if damage == "weights":
        state = load_file(weights)
        save_file({name: value for name, value in state.items() if "alpha" not in name}, weights)
    elif damage == "text":
        shutil.copy(file, weights)
    else:
        said.pop("heads") if damage == "key" else said.update(width=16)
        file.write_text(json.dumps(said))
    with pytest.raises(ModelError, match=r"^mine cannot be loaded from .* is damaged: delete it and run again$"):
        load_folder(tmp_path, "lld_transformer", origin="mine", trained=False)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"heads": 7}, "width 130 must be a multiple of heads 7"),
        ({"layers": 0, "scaled_layers": 0}, "`layers` and `scaled_layers` are both 0"),
        ({"pooling": "meen"}, "pooling meen is not known; did you mean mean?"),
    ],
)
def test_impossible_shape_is_refused(keys: dict[str, Any], said: str) -> None:
    section = {"architecture": "lld_transformer", **keys}
    with pytest.raises(ConfigError, match=said):
        load_study({"study": "s", "corpora": {"c": {"importer": "folder", "root": "."}}, "backbones": {"b": section}})


@pytest.mark.parametrize("method", [{"classifier": "linear"}, {"classifier": "logistic", "layer": "last"}])
def test_a_frozen_original_that_nobody_has_given_statistics_is_not_probed(method: dict[str, Any]) -> None:
    """Its frames would be raw: hundreds of Hz beside thousandths. Models of Stage 1 bring the statistics of its clips."""
    values: dict[str, Any] = {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {"lld": {"architecture": "lld_transformer"}},
        "adaptations": {"ssl": {"corpora": ["c"], "objectives": {"energy_level": 1.0}}},
        "finetunings": {"default": {}, "probe": {"method": "probe", **method}},
        "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "folds", "k": 3}}},
    }
    with pytest.raises(
        ConfigError, match=r"finetunings\.probe: backbone lld z-scores its input .* name adaptations in"
    ):
        load_study(values)
    values["finetunings"]["probe"]["starts"] = ["ssl"]
    load_study(values)
    del values["finetunings"]["probe"]["starts"]
    values["backbones"]["lld"]["normalise"] = False
    load_study(values)
