"""CARE: halves of layers, lengths, padding, gradients, folders, export."""

from __future__ import annotations

import wave
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emoadapt.backbones.base import list_modules, load_backbone, load_folder
from emoadapt.config import load_study
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ConfigError, ModelError
from emoadapt.extraction.outputs import LayersExtractor
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.inference.predict import predict_files
from emoadapt.layers.care import CareBackbone, SemanticLayer, count_reduced
from emoadapt.layers.heads import build_head
from emoadapt.poolings.base import mean_frames

SPEECH: dict[str, dict[str, Any]] = {
    "hubert": {
        "architecture": "hubert",
        "untrained": {
            "conv_dim": [8, 8], "conv_kernel": [20, 16], "conv_stride": [20, 16], "hidden_size": 16, "layers": 4, "heads": 2,
            "intermediate_size": 16, "conv_pos_kernel": 4, "conv_pos_groups": 4, "dropout": 0.0,
        },
    },
    "whisper": {
        "architecture": "whisper",
        "untrained": {"hidden_size": 16, "layers": 4, "heads": 2, "intermediate_size": 16, "dropout": 0.0},
    },
}  # fmt: skip
SPEECH["wavlm"] = SPEECH["hubert"] | {"architecture": "wavlm"}
TEXT = {"hidden_size": 16, "layers": 3, "heads": 2, "intermediate_size": 16, "vocabulary": 50, "positions": 16}
FRAMES = {
    "hubert": lambda n: (n - 320) // 320 + 1,
    "wavlm": lambda n: (n - 320) // 320 + 1,
    "whisper": lambda n: (n // 160 + 1) // 2,
}


def make_values(model: str = "hubert", words: dict[str, Any] | None = None, **care: Any) -> dict[str, Any]:
    return {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {
            "speech": deepcopy(SPEECH[model]),
            "words": {"architecture": "bert", "untrained": TEXT | (words or {})},
            "care": {"architecture": "care", "speech": "speech", "text": "words", "common": 2, "branch": 2, **care},
        },
    }  # fmt: skip


def make(*args: Any, **care: Any) -> CareBackbone:
    """A small backbone whose biases are not what they begin with, which would hide faults."""
    backbone = load_backbone(load_study(make_values(*args, **care)).backbones["care"], Path("nowhere"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def make_clips(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [0.1 * torch.randn(n, generator=generator) for n in lengths]


def run(backbone: CareBackbone, clips: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    frames, lengths = backbone.run_front_end(clips)
    return list(backbone.encode_layers(frames, lengths)), lengths


@pytest.mark.parametrize("n_frames", [1, 4, 5, 6, 7, 8, 250, 251, 252])
def test_lengths_go_down_by_three_and_come_back(n_frames: int) -> None:
    """Against the two convolutions of torch alone: stride 3 without padding, then transposed with output padding 1."""
    frames = torch.randn(1, max(n_frames, 5), 4)
    down = nn.Conv1d(4, 4, 5, 3)(frames.transpose(1, 2))
    up = nn.ConvTranspose1d(4, 4, 5, 3, output_padding=1)(down)
    assert count_reduced(torch.tensor([n_frames])).item() == down.shape[-1]
    # By hand: 250 frames become 82 and come back as 249, 252 become 83 and 252.
    assert {250: (82, 249), 252: (83, 252)}.get(n_frames, (down.shape[-1], up.shape[-1])) == (
        down.shape[-1],
        up.shape[-1],
    )
    layer = SemanticLayer(nn.Identity(), SimpleNamespace(hidden_size=4), 4, adapters=True)
    layer._attend = lambda hidden, lengths: hidden  # type: ignore[method-assign]
    found = layer(frames[:, :n_frames], torch.tensor([n_frames]))
    padded = nn.functional.pad(frames[:, :n_frames], (0, 0, 0, max(0, 5 - n_frames)))
    expected = layer.up(layer.down(padded.transpose(1, 2))).transpose(1, 2)
    expected = nn.functional.pad(expected, (0, 0, 0, max(0, n_frames - expected.shape[1])))[:, :n_frames]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("speech", ["hubert", "wavlm", "whisper"])
def test_halves_are_the_two_encoders_of_the_paper(speech: str) -> None:
    """Against the models' own layers, called one after another on one clip."""
    values = make_values(speech)
    study = load_study(values)
    backbone = make(speech)
    assert (backbone.width, backbone.hidden_width, len(backbone.layers)) == (32, 32, 4)
    clips = make_clips(16_000)
    states, lengths = run(backbone, clips)
    assert lengths.tolist() == [FRAMES[speech](16_000)] == [50] and len(states) == 5
    whole = load_backbone(study.backbones["speech"], Path("nowhere")).eval()
    whole.load_state_dict(backbone.speech.state_dict())
    frames, _ = whole.run_front_end(clips)
    expected = whole.encode_layers(frames, lengths)
    for state, speech_state in zip(states, expected, strict=True):
        torch.testing.assert_close(state[..., :16], speech_state)
    for state in states[:3]:
        assert torch.equal(state[..., :16], state[..., 16:])
    hidden = expected[2]
    for block, state in zip(backbone.model.semantic, states[3:], strict=True):
        down = block.down(hidden.transpose(1, 2)).transpose(1, 2)
        assert down.shape[1] == 16
        up = block.up(block.layer(down).transpose(1, 2)).transpose(1, 2)
        assert up.shape[1] == 51
        hidden = up[:, :50]
        torch.testing.assert_close(state[..., 16:], hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(backbone(clips), states[-1].mean(1), rtol=1e-4, atol=1e-5)
    layers = backbone.embed_layers(clips)
    torch.testing.assert_close(layers[0], torch.stack([state[0].mean(0) for state in states]), rtol=1e-4, atol=1e-5)
    assert torch.equal(backbone.take_branch(states[-1], "semantic"), states[-1][..., 16:])
    assert torch.equal(whole.take_branch(expected[-1], "semantic"), expected[-1])


def test_semantic_layers_are_the_last_of_the_text_encoder() -> None:
    study = load_study(make_values())
    text = load_backbone(study.backbones["words"], Path("nowhere"))
    for block, layer in zip(make_unchanged(study).model.semantic, text.layers[1:], strict=True):
        for name, value in layer.state_dict().items():
            assert torch.equal(block.layer.state_dict()[name], value), name


def make_unchanged(study: Any) -> CareBackbone:
    return load_backbone(study.backbones["care"], Path("nowhere")).eval()


@pytest.mark.parametrize(
    "options", [{}, {"adapters": False}, {"words": {"hidden_size": 24}}], ids=["paper", "plain", "wide"]
)
@pytest.mark.parametrize("speech", ["hubert", "whisper"])
def test_padding_never_changes_a_clip(speech: str, options: dict[str, Any]) -> None:
    backbone = make(speech, **options)
    # 1 to 12 frames, so that each remainder by three is there, and long ones that pad them.
    clips = make_clips(500, *(320 * n + 330 for n in range(1, 12)), 16_000, 9_111)
    with torch.no_grad():
        together, lengths = run(backbone, clips)
        for place, clip in enumerate(clips):
            alone, (n_frames,) = run(backbone, [clip])
            assert n_frames == lengths[place]
            for one, many in zip(alone, together, strict=True):
                torch.testing.assert_close(many[place, :n_frames], one[0, :n_frames], rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(backbone(clips)[0], backbone(clips[:1])[0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("speech", ["hubert", "whisper"])
def test_kept_layers_are_means_over_the_whole_of_a_long_clip(speech: str) -> None:
    """The paper cuts clips at 30 s; here Whisper's encoder reads them in windows, and nothing is cut."""
    backbone = make(speech)
    (clip,) = make_clips(35 * 16_000)
    columns = LayersExtractor(backbone, {"audio": AUDIO}).run(
        collate_clips([Clip("c", {"audio": clip})], {"audio": AUDIO})
    )
    found = torch.frombuffer(bytearray(columns["layers"]), dtype=torch.float32).view(5, 32)
    with torch.no_grad():
        states, lengths = run(backbone, [clip])
        assert lengths.tolist() == [35 * 50]
        torch.testing.assert_close(found, torch.stack([state[0].mean(0) for state in states]), rtol=1e-4, atol=1e-5)
        begun = backbone.embed_layers([clip[: 30 * 16_000]])[0]
    assert (found - begun).abs().amax(dim=1).min() > 1e-5, "what follows 30 s counts in each layer"


def test_what_is_beyond_a_clip_is_not_read_even_if_it_is_not_finite() -> None:
    backbone = make()
    frames, lengths = backbone.run_front_end(make_clips(6_000, 16_000))
    hidden = backbone.parts.inner.transform(backbone.parts.project(frames, lengths), lengths, every=True)
    poisoned = [state.clone() for state in hidden]
    for state in poisoned:
        state[0, lengths[0] :] = float("nan")
    expected, found = (backbone.parts._branch(states, lengths, False)[-1] for states in (hidden, poisoned))
    assert torch.equal(found[0, : lengths[0], 16:], expected[0, : lengths[0], 16:])


def get_gradients(backbone: CareBackbone, branch: str) -> set[str]:
    """Groups of parameters that a loss on one encoder trains."""
    states, lengths = run(backbone, make_clips(4_000, 8_000))
    mean_frames(backbone.take_branch(states[-1], branch), lengths).square().sum().backward()
    named = {
        "front end": backbone.model.speech.feature_extractor.parameters(),
        "projection": backbone.model.speech.feature_projection.parameters(),
        "common": backbone.speech.layers[:2].parameters(),
        "acoustic": backbone.speech.layers[2:].parameters(),
        "adapters": (p for block in backbone.model.semantic for part in (block.down, block.up) for p in part.parameters()),
        "text": (p for block in backbone.model.semantic for p in block.layer.parameters()),
    }  # fmt: skip
    return {name for name, parameters in named.items() if any(p.grad is not None and p.grad.any() for p in parameters)}


@pytest.mark.parametrize("speech", ["hubert", "wavlm"])
def test_the_acoustic_loss_reaches_the_common_layers_or_not(speech: str) -> None:
    below = {"front end", "projection", "common"}
    assert get_gradients(make(speech), "acoustic") == {"acoustic", *below}
    assert get_gradients(make(speech, acoustic_gradient="acoustic_only"), "acoustic") == {"acoustic"}
    for gradient in ("joint", "acoustic_only"):
        assert get_gradients(make(speech, acoustic_gradient=gradient), "semantic") == {"adapters", *below}
    assert get_gradients(make(speech, text_layers="trained"), "semantic") == {"adapters", "text", *below}


def test_of_trained_weights_the_layers_are_trained_alone(tmp_path: Path) -> None:
    values = make_values()
    load_backbone(load_study(values).backbones["speech"], tmp_path).save(tmp_path / "hubert", {})
    values["backbones"]["speech"] = {"architecture": "hubert", "weights": "hubert"}
    config = load_study(values).backbones["care"]
    backbone = load_backbone(config, tmp_path)
    backbone.set_cnn_trainable(False)
    trained = {name.split(".")[2] for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {"encoder", "0", "1"}
    speech = {
        name.split(".encoder.")[1].split(".")[0]
        for name, p in backbone.model.speech.named_parameters(prefix="m")
        if p.requires_grad
    }
    assert speech == {"layers"}
    assert config.list_weights() == [("hubert", None)] and config.provenance == "untrained"
    assert config.list_kept("stage1", "original")["audio"][:] == ("frontend", "own", "speech")
    values["backbones"]["care"] |= {"train_layers": 1, "layers": "weighted", "pooling": "attention"}
    backbone = load_backbone(load_study(values).backbones["care"], tmp_path)
    backbone.set_cnn_trainable(False)
    last = {name for name, p in backbone.model.named_parameters() if p.requires_grad}
    assert {name.rsplit("layers.", 1)[-1].split(".")[0] for name in last if name.startswith("speech")} == {"3"}
    assert {name.split(".")[1] for name in last if name.startswith("semantic")} == {"1"}
    assert not [name for name in last if ".layer." in name]
    assert backbone.layer_weights.shape == (5,)


def test_frozen_text_layers_have_no_dropout() -> None:
    backbone = make(words={"dropout": 0.5})
    clips = make_clips(16_000)
    backbone.train()
    first, second = (run(backbone, clips)[0][-1] for _ in range(2))
    assert torch.equal(first, second)
    trained = make(words={"dropout": 0.5}, text_layers="trained").train()
    first, second = (run(trained, clips)[0][-1] for _ in range(2))
    assert not torch.equal(first, second)


def test_convolutions_of_the_original_are_drawn_with_the_seed_of_a_run(tmp_path: Path) -> None:
    """Symptom: all runs of a fine-tuned original began with the same convolutions."""
    backbone = load_backbone(load_study(make_values()).backbones["care"], Path("nowhere"))
    before = deepcopy(backbone.state_dict())
    assert backbone.redraw(0)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items()), (
        "seed 0 is that of the study"
    )
    assert backbone.redraw(1)
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    convolutions = {name for name in before if ".down." in name or ".up." in name}
    assert changed == convolutions and len(convolutions) == 8
    backbone.save(tmp_path / "model", {"title": "m"})
    assert not load_folder(tmp_path / "model", origin="m", trained=True).redraw(2), "Stage 1 has trained them"
    frozen = load_backbone(load_study(make_values(train_layers=0)).backbones["care"], Path("nowhere"))
    assert not frozen.redraw(1), "kept layers were computed with these"


@pytest.mark.parametrize(("architecture", "kind"), [("hubert", "Hubert"), ("wavlm", "WavLM")])
def test_the_last_layer_of_a_large_model_is_taken_before_its_layer_norm(
    architecture: str, kind: str, tmp_path: Path
) -> None:
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        conv_dim=(8, 8), conv_kernel=(20, 16), conv_stride=(20, 16), num_feat_extract_layers=2, hidden_size=16, num_hidden_layers=4,
        num_attention_heads=2, intermediate_size=16, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=4,
        do_stable_layer_norm=True, feat_extract_norm="layer",
    )  # fmt: skip
    model = getattr(transformers, f"{kind}Model")(config)
    with torch.no_grad():
        model.encoder.layer_norm.bias.fill_(7.0)
    model.save_pretrained(tmp_path / "large")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "large")
    values = make_values(architecture)
    values["backbones"]["speech"] = {"architecture": architecture, "weights": "large"}
    backbone = load_backbone(load_study(values).backbones["care"], tmp_path).eval()
    clips = make_clips(16_000)
    with torch.no_grad():
        states, _ = run(backbone, clips)
        frames, lengths = backbone.speech.run_front_end(clips)
        torch.testing.assert_close(states[-1][..., :16], backbone.speech.encode_layers(frames, lengths)[-1])
        normed = backbone.speech.encode_layers(frames, lengths, every=False)[-1]
    assert (states[-1][..., :16].mean() - normed.mean()).abs() > 5


def test_layers_begin_at_random_where_a_variant_says_so() -> None:
    usual = make_unchanged(load_study(make_values())).state_dict()
    for key, value, changed in (
        ("text_layers", "untrained", ".layer."),
        ("speech_init", "untrained", "encoder.layers"),
    ):
        study = load_study(make_values(**{key: value}, seed=1))
        found = make_unchanged(study).state_dict()
        again = make_unchanged(study).state_dict()
        other = {name for name in usual if not torch.equal(usual[name], found[name]) and usual[name].dim() > 1}
        convolutions = {name for name in other if "down" in name or "up" in name}
        assert other - convolutions and all(changed in name for name in other - convolutions)
        assert all(torch.equal(found[name], again[name]) for name in found)
        assert study.backbones["care"].provenance == "untrained"


@pytest.mark.parametrize("speech", ["hubert", "whisper"])
def test_a_model_is_saved_loaded_and_exported(speech: str, tmp_path: Path) -> None:
    backbone = make(speech, {"hidden_size": 24}, layers="weighted")
    with torch.no_grad():
        backbone.layer_weights.copy_(torch.arange(5.0))
    classifier = EmotionClassifier(backbone, build_head("mlp", backbone.width, None, 3, 0), ["a", "b", "c"]).eval()
    classifier.save(tmp_path / "m", {"title": "care"})
    again = load_classifier(tmp_path / "m")
    clips = make_clips(9_000, 16_000)
    with torch.inference_mode():
        assert torch.equal(again(clips), classifier(clips))
    assert again.reads == ("audio",)
    samples = (clips[1] * 32768).round().clamp(-32768, 32767).to(torch.int16)
    with wave.open(str(tmp_path / "clip.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.numpy().tobytes())
    (row,) = predict_files(again, [tmp_path / "clip.wav"])
    with torch.inference_mode():
        expected = classifier([samples.float() / 32768]).softmax(dim=1)[0]
    assert list(row.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    part = load_folder(tmp_path / "m/speech", origin="speech", trained=False)
    assert len(part.layers) == 4
    found = export_onnx(again, tmp_path / "m.onnx")
    # Five frames are the shortest that the first convolution reads.
    assert min(item.n_samples for item in found) == {"hubert": 1600, "whisper": 1440}[speech]
    assert max(item.difference for item in found) < 1e-4
    assert "weighted mean" in (tmp_path / "m/README.md").read_text()
    (tmp_path / "m/contents.json").unlink()
    (tmp_path / "m/semantic.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="copy the whole folder again"):
        load_folder(tmp_path / "m", origin="m", trained=True)


@pytest.mark.parametrize("speech", ["hubert", "whisper"])
def test_a_saved_model_keeps_its_short_form(speech: str, tmp_path: Path) -> None:
    values = make_values(speech, common=1, branch=1)
    config = load_study(values).backbones["care"]
    backbone = load_backbone(config, tmp_path).eval()
    assert len(backbone.layers) == 2 and config.depth == 3
    backbone.save(tmp_path / "m", {})
    again = load_backbone(config, tmp_path, tmp_path / "m").eval()
    clips = make_clips(8_000)
    assert torch.equal(again(clips), backbone(clips))
    assert not any(p.requires_grad for block in again.model.semantic for p in block.layer.parameters())


def test_what_the_speech_section_says_of_its_input_holds_in_care(tmp_path: Path) -> None:
    """Symptom: a model of Stage 1 was fine-tuned without the masks of its section."""
    values = make_values()
    values["backbones"]["speech"] |= {"spec_augment": {"time_share": 0.4, "time_frames": 3}, "pad": {"seconds": 0.5}}
    config = load_study(values).backbones["care"]
    load_backbone(config, tmp_path).save(tmp_path / "m", {})
    clips = make_clips(16_000)
    for source in (None, tmp_path / "m"):
        backbone = load_backbone(config, tmp_path, source)
        assert backbone.shortest == 8_000 and backbone(make_clips(2_000)).shape == (1, 32)
        frames, lengths = backbone.run_front_end(clips)
        plain, masked, other = (
            backbone.encode_layers(frames, lengths, draws)[0] for draws in ([], [[1, 2, 3]], [[1, 2, 4]])
        )
        assert not torch.equal(plain, masked) and not torch.equal(masked, other)


def test_clips_kept_front_end_and_copies_agree() -> None:
    backbone = make()
    clips = make_clips(9_000, 4_000)
    batch = collate_clips([Clip(str(n), {"audio": clip}) for n, clip in enumerate(clips)], {"audio": AUDIO})
    frames, lengths = backbone.speech.run_front_end(clips)
    kept = batch.__class__(["0", "1"], {"frontend": frames}, {"frontend": lengths}, {})
    torch.testing.assert_close(backbone.embed(batch), backbone.embed(kept))
    torch.testing.assert_close(deepcopy(backbone).embed(kept), backbone.embed(kept))


@pytest.mark.parametrize(
    ("care", "message"),
    [
        ({"speech": "words"}, "speech: words is not a speech model"),
        ({"text": "speech"}, "text: speech is not a text encoder"),
        ({"text": "nobody"}, "text: nobody is not defined"),
        ({"common": 3, "branch": 2}, "common and branch need 5 layers, and speech has 4"),
        ({"common": None, "branch": 2, "words": {"layers": 1}}, "each encoder gets 2 layers, and words has 1"),
    ],
)
def test_a_study_that_cannot_be_is_refused(care: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study(make_values(**care))


def test_models_that_do_not_fit_are_refused() -> None:
    study = load_study(make_values(adapters=False, words={"hidden_size": 24}))
    with pytest.raises(ModelError, match="both must be equally wide"):
        load_backbone(study.backbones["care"], Path("nowhere"))


@pytest.mark.parametrize(("part", "architecture", "message"), [
    ("words", "mpnet", "whose layers cannot run alone"), ("speech", "ast", "several frames of one time"),
])  # fmt: skip
def test_other_families_are_refused(part: str, architecture: str, message: str) -> None:
    values = make_values()
    values["backbones"][part]["architecture"] = architecture
    if part == "speech":
        values["backbones"][part]["untrained"] = deepcopy(SPEECH["whisper"]["untrained"])
    with pytest.raises(ModelError, match=message):
        load_backbone(load_study(values).backbones["care"], Path("nowhere"))


def test_what_decides_a_part_decides_care_and_names_of_parts_do_not() -> None:
    values = make_values()
    config = load_study(values).backbones["care"]
    assert {"emoadapt.backbones.care", "emoadapt.backbones.text_transformer", "emoadapt.poolings.mean"} <= {
        *list_modules(config, Path("nowhere"))
    }
    values["backbones"]["words"]["untrained"]["seed"] = 5
    other = load_study(values).backbones["care"]
    assert other.describe() != config.describe() and other.describe_kept("layers") != config.describe_kept("layers")
    renamed = make_values()
    renamed["backbones"]["care"]["speech"] = "hub"
    renamed["backbones"]["hub"] = renamed["backbones"].pop("speech")
    assert load_study(renamed).backbones["care"].describe() == config.describe()
