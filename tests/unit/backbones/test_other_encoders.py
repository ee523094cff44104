"""`architecture: auto`, and compiled layers: families that are none of the four, randomly initialised."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.speech_transformer import Config, UntrainedBackbone, build_untrained
from emoadapt.errors import ModelError
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.layers.heads import ProjectedHead
from emoadapt.layers.settings import Lora, Projection

SMALL = {
    "conv_dim": [12, 16, 16], "conv_kernel": [10, 8, 4], "conv_stride": [5, 4, 4], "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4, "conv_depthwise_kernel_size": 5, "layerdrop": 0.5,
}  # fmt: skip
FAMILIES = [
    ("unispeech-sat", {"feat_extract_norm": "group"}),
    ("unispeech-sat", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    ("unispeech", {"feat_extract_norm": "layer"}),
    ("wav2vec2-conformer", {"feat_extract_norm": "layer", "position_embeddings_type": "relative"}),
    ("wav2vec2-conformer", {"feat_extract_norm": "layer", "position_embeddings_type": "rotary"}),
]
AUTO = Config(architecture="auto", weights="hub/base")


def write(folder: Path, model_type: str, values: dict[str, Any]) -> Any:
    """A saved model, with biases and batch statistics that would show what leaks through padding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **SMALL, **values))
        with torch.no_grad():
            for name, value in (*model.named_parameters(), *model.named_buffers()):
                if name.endswith(("bias", "running_mean")):
                    value.normal_(std=0.5)
    model.save_pretrained(folder / "hub" / "base")
    normalise = values.get("feat_extract_norm") == "layer"
    Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder / "hub" / "base")
    return model.eval()


def make_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [0.1 * torch.randn(length, generator=generator) + 0.05 for length in lengths]


@pytest.mark.parametrize(("model_type", "values"), FAMILIES)
def test_embedding_is_that_of_transformers_alone_in_a_batch_and_from_cached_frames(
    model_type: str, values: dict[str, Any], tmp_path: Path
) -> None:
    model, backbone = write(tmp_path, model_type, values), load_backbone(AUTO, tmp_path)
    extract = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "hub" / "base")
    clips = make_clips(3000, 8000, 5001)
    backbone.set_cnn_trainable(False)
    with torch.no_grad():
        together = backbone.eval()(clips)
        for clip, found in zip(clips, together, strict=True):
            inputs = extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
            expected = model(inputs).last_hidden_state.mean(dim=1)[0]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        alone = [backbone.encode_cnn([clip])[0][0] for clip in clips]
        lengths = torch.tensor([len(frames) for frames in alone])
        frames = torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)
        torch.testing.assert_close(
            backbone.pool(backbone.encode(frames, lengths), lengths), together, atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(("model_type", "values"), FAMILIES[-1:])
def test_training_knows_no_batch_statistics_and_the_saved_model_loads(
    model_type: str, values: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, model_type, values | dict.fromkeys(
        ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "conformer_conv_dropout"), 0.0
    ))  # fmt: skip
    backbone, clips = load_backbone(AUTO, tmp_path).train(), make_clips(3000, 8000)
    alone, together = backbone(clips[:1])[0], backbone(clips)[0]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    backbone.save(tmp_path / "adapted", {})
    again = load_folder(tmp_path / "adapted", origin="adapted", trained=True)
    torch.testing.assert_close(again(clips), backbone(clips), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("model_type", "values"), [FAMILIES[0], FAMILIES[2], FAMILIES[-1]])
def test_classifier_with_the_head_of_transformers_comes_back(
    model_type: str, values: dict[str, Any], tmp_path: Path
) -> None:
    """Such a model was saved, and then not loaded for a prediction."""
    write(tmp_path, model_type, values)
    backbone, clips = load_backbone(AUTO, tmp_path), make_clips(3000, 8000)
    backbone.layer_weights = torch.nn.Parameter(torch.tensor([0.5, -0.5, 0.0]))
    classifier = EmotionClassifier(backbone, ProjectedHead(32, 8, 2, seed=1), ["low", "high"]).eval()
    classifier.save(tmp_path / "model", {"title": "x"})
    again = load_classifier(tmp_path / "model")
    assert again.classes == ("low", "high")
    with torch.no_grad():
        torch.testing.assert_close(again(clips), classifier(clips), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("model_type", "modules", "message"),
    [
        ("wavlm", ("q_proj", "intermediate_dense"), r"^hub/base is a wavlm model, which ignores adapters in q_proj; name"),
        ("wavlm", ("k_proj", "out_proj"), r"ignores adapters in k_proj, out_proj; name others"),
        ("wav2vec2-conformer", ("q_proj", "output_dense"), r"^a wav2vec2-conformer model has no layers called q_proj; leave"),
        ("wav2vec2-conformer", None, r"^a wav2vec2-conformer model has no layers called q_proj, v_proj; name others"),
    ],
)  # fmt: skip
def test_adapters_that_would_do_nothing_are_refused(
    model_type: str, modules: tuple[Projection, ...] | None, message: str, tmp_path: Path
) -> None:
    """WavLM's attention reads its projections' weights; by `auto` adapters there trained nothing, silently."""
    write(tmp_path, model_type, {"feat_extract_norm": "layer"})
    with pytest.raises(ModelError, match=message):
        load_backbone(AUTO.model_copy(update={"lora": Lora(modules=modules)}), tmp_path)


def test_adapters_of_a_family_that_is_found_learn(tmp_path: Path) -> None:
    write(tmp_path, "wavlm", {"feat_extract_norm": "layer"})
    backbone = load_backbone(AUTO.model_copy(update={"lora": Lora(rank=2)}), tmp_path).train()
    backbone.set_cnn_trainable(False)
    backbone(make_clips(3000)).square().sum().backward()
    learning = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    assert len(learning) == 2 * 2 * 2
    assert all(value.grad.abs().max() > 0 for name, value in learning.items() if "lora_B" in name)


def test_the_four_families_are_found_too(tmp_path: Path) -> None:
    build_untrained("hubert", UntrainedBackbone()).save(tmp_path / "hub" / "base", {})
    assert load_backbone(AUTO, tmp_path).model.config.model_type == "hubert"


@pytest.mark.parametrize(
    ("model_type", "values", "lacking"),
    [
        ("sew", {}, r"is a sew model, which lacks .*squeeze_factor"),
        (
            "wav2vec2-conformer",
            {"add_adapter": True, "output_hidden_size": 32},
            r"is a wav2vec2-conformer model, which lacks a last layer of all frames",
        ),
        (
            "bert",
            {},
            r"is a text encoder, `auto` loads speech models; name its architecture",
        ),
    ],
)
def test_other_layouts_are_refused(model_type: str, values: dict[str, Any], lacking: str, tmp_path: Path) -> None:
    write(tmp_path, model_type, values)
    with pytest.raises(ModelError, match=f"^hub/base {lacking}"):
        load_backbone(AUTO, tmp_path)


def test_family_whose_padding_leaks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *FAMILIES[3])
    monkeypatch.setattr("emoadapt.layers.speech.Wav2Vec2Parts._zero_padding", _leave_padding)
    with pytest.raises(ModelError, match=r"wav2vec2-conformer model, whose embedding of a clip depends on padding"):
        load_backbone(AUTO, tmp_path)


def _leave_padding(*_: Any) -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_named_architecture_is_not_another(tmp_path: Path) -> None:
    write(tmp_path, *FAMILIES[0])
    with pytest.raises(ModelError, match="is a unispeech-sat model, the configuration says wavlm"):
        load_backbone(Config(architecture="wavlm", weights="hub/base"), tmp_path)
    config = tmp_path / "hub" / "base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "no-such-model"}))
    with pytest.raises(ModelError, match="hub/base cannot be loaded"):
        load_backbone(AUTO, tmp_path)


def test_auto_needs_weights() -> None:
    with pytest.raises(ValueError, match="`auto` needs `weights`"):
        Config(architecture="auto", untrained=UntrainedBackbone())


def _find_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


@pytest.mark.skipif(not _find_compiler(), reason="no C++ compiler on this machine")
def test_compiled_layers_agree_for_clips_of_any_length(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    dimensions = UntrainedBackbone(hidden_size=16, layers=2, heads=2, intermediate_size=16, dropout=0.0)
    plain, compiled = (build_untrained("wav2vec2", dimensions).train() for _ in range(2))
    compiled.compile_layers()
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for lengths in ((3000, 8000), (5000, 6000, 9001)):
        expected, found = plain(make_clips(*lengths)), compiled(make_clips(*lengths))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for embedding in (expected, found):
        embedding.square().sum().backward()
    for (name, value), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        if value.grad is not None:
            torch.testing.assert_close(other.grad, value.grad, atol=1e-4, rtol=1e-3, msg=name)


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def find() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", find)
    with pytest.raises(ModelError, match=r"`compile: true` needs a C\+\+ compiler, and none was found; install g\+\+"):
        build_untrained("wav2vec2", UntrainedBackbone()).compile_layers()
