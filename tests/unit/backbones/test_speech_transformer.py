"""Backbones: padding, CNN encoders, saving and loading."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModel, Wav2Vec2FeatureExtractor

from emoadapt.backbones.base import load_backbone
from emoadapt.backbones.speech_transformer import Config, UntrainedBackbone, build_untrained
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO, FRONTEND
from emoadapt.errors import ModelError
from emoadapt.layers.heads import TwoLayerHead

SHAPES = {"conv_dim": (12, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 4, 4), "hidden_size": 32}
SMALL = SHAPES | {"layers": 2, "heads": 4, "intermediate_size": 48, "conv_pos_kernel": 6, "conv_pos_groups": 4}
FAMILIES = [
    ("wav2vec2", "group"), ("wav2vec2", "layer"), ("wavlm", "group"), ("wavlm", "layer"),
    ("hubert", "group"), ("hubert", "layer"), ("data2vec", "layer"),
]  # fmt: skip


def make(architecture: str = "wav2vec2", norm: str = "layer", seed: int = 0):
    backbone = build_untrained(architecture, UntrainedBackbone(**SMALL, feat_extract_norm=norm, seed=seed))
    # Biases start at zero, which would hide padding that leaks through them.
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5)
    return backbone.eval()


def make_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [0.1 * torch.randn(length, generator=generator) + 0.05 for length in lengths]


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_embedding_is_the_same_alone_and_in_a_padded_batch(architecture: str, norm: str) -> None:
    backbone, clips = make(architecture, norm), make_clips(3000, 8000, 5001)
    with torch.no_grad():
        together = backbone(clips)
        alone = torch.cat([backbone([clip]) for clip in clips])
    assert together.shape == (3, 32)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-2


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_embedding_of_one_clip_is_what_transformers_computes(architecture: str, norm: str) -> None:
    backbone, (clip,) = make(architecture, norm), make_clips(6000)
    extract = Wav2Vec2FeatureExtractor(do_normalize=backbone.normalise)
    inputs = extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = backbone.model(inputs["input_values"]).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(backbone([clip]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_cached_cnn_output_gives_the_loss_of_the_full_path(architecture: str, norm: str) -> None:
    """Cached as 16-bit floats, which is all the difference."""
    backbone, clips = make(architecture, norm), make_clips(3000, 8000, 5001)
    backbone.set_cnn_trainable(False)
    head, labels = TwoLayerHead(32, 32, 3, seed=0), torch.tensor([0, 1, 2])
    with torch.no_grad():
        cached = [backbone.encode_cnn([clip])[0][0].half() for clip in clips]
        full, short = (
            cross_entropy(
                head(backbone.embed(collate_clips([Clip("", {role: s}) for s in signals], {role: stream}))),
                labels,
            )
            for role, stream, signals in (("audio", AUDIO, clips), ("frontend", FRONTEND, cached))
        )
    assert short.item() == pytest.approx(full.item(), rel=1e-3)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_cnn_frames_do_not_depend_on_the_batch(norm: str) -> None:
    backbone, clips = make(norm=norm), make_clips(2000, 4000)
    frames, lengths = backbone.encode_cnn(clips)
    alone = [backbone.encode_cnn([clip])[0][0] for clip in clips]
    assert lengths.tolist() == [len(one) for one in alone] == [backbone.count_frames(2000), backbone.count_frames(4000)]
    for padded, one in zip(frames, alone, strict=True):
        torch.testing.assert_close(padded[: len(one)], one, atol=1e-5, rtol=0)
        assert padded[len(one) :].abs().sum() == 0


def test_padding_does_leak_through_group_norm_in_transformers() -> None:
    """The reason why group-norm encoders see one clip at a time."""
    backbone, clips = make(norm="group"), make_clips(2000, 4000)
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    alone = backbone.encode_cnn(clips[:1])[0][0]
    assert (backbone.model.feature_extractor(padded)[0].T[: len(alone)] - alone).abs().max() > 0.05


def test_counts_frames_as_the_convolutions_do() -> None:
    backbone = make()
    # 10 + 5 * (8 - 1) + 20 * (4 - 1): kernel and stride products by hand
    assert backbone.receptive_field == 10 + 35 + 60
    assert [backbone.count_frames(n) for n in (1, 105, 184, 185)] == [1, 1, 1, 2]
    frames, lengths = backbone.encode_cnn(make_clips(50))
    assert frames.shape == (1, 1, 16)
    assert lengths.tolist() == [1]


def test_frozen_cnn_gets_no_gradient() -> None:
    backbone = make().train()
    backbone.set_cnn_trainable(False)
    backbone(make_clips(2000)).square().sum().backward()
    assert all(p.grad is None for p in backbone.model.feature_extractor.parameters())
    assert all(p.grad is not None for p in backbone.model.encoder.layers.parameters())
    backbone.set_cnn_trainable(True)
    backbone(make_clips(2000)).square().sum().backward()
    assert all(p.grad is not None for p in backbone.model.feature_extractor.parameters())


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second, other = make(seed=1), make(seed=1), make(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    weight = "model.encoder.layers.0.attention.q_proj.weight"
    assert torch.equal(first.state_dict()[weight], second.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_saved_folder_loads_with_automodel_and_gives_the_same_embedding(
    architecture: str, norm: str, tmp_path: Path
) -> None:
    backbone, clips = make(architecture, norm), make_clips(3000)
    backbone.save(
        tmp_path / "model", {"title": "x", "Stage-1 corpora": ["faces"], "objectives (weight)": {"egemaps": 1.0}}
    )
    plain = AutoModel.from_pretrained(tmp_path / "model").eval()
    extract = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "model")
    config = Config(architecture=architecture, untrained=UntrainedBackbone(**SMALL, feat_extract_norm=norm))
    again = load_backbone(config, tmp_path, tmp_path / "model").eval()
    with torch.no_grad():
        expected = backbone(clips)
        values = extract(clips[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
        torch.testing.assert_close(plain(values).last_hidden_state.mean(dim=1), expected, atol=1e-5, rtol=0)
        assert torch.equal(again(clips), expected)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "not pretrained" in card
    assert "| Stage-1 corpora | faces |" in card
    assert json.loads((tmp_path / "model" / "preprocessor_config.json").read_text())["do_normalize"] is (
        norm == "layer"
    )


def test_loads_weights_from_a_folder_and_honours_its_preprocessing(tmp_path: Path) -> None:
    backbone = make("hubert", "layer")
    backbone.save(tmp_path / "hub" / "base", {})
    config = Config(architecture="hubert", weights="hub/base")
    assert load_backbone(config, tmp_path).normalise
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path / "hub" / "base")
    loaded = load_backbone(config, tmp_path)
    assert not loaded.normalise
    assert loaded.trained
    (tmp_path / "hub" / "base" / "preprocessor_config.json").unlink()
    assert load_backbone(config, tmp_path).normalise


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_loads_pretraining_checkpoints_as_the_hub_has_them(file: str, tmp_path: Path) -> None:
    """facebook/wav2vec2-base: a pre-training model, so prefixed names, a quantiser, and weight norm under its old names."""
    from safetensors.torch import save_file
    from transformers import Wav2Vec2ForPreTraining

    backbone, clips = make("wav2vec2", "group"), make_clips(3000)
    full = Wav2Vec2ForPreTraining(backbone.model.config)
    full.wav2vec2.load_state_dict(backbone.model.state_dict())
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = full.state_dict()
    for new, name in old.items():
        key = f"wav2vec2.encoder.pos_conv_embed.conv.{new}"
        weights[key.replace(new, name)] = weights.pop(key)
    full.config.architectures = ["Wav2Vec2ForPreTraining"]
    full.config.save_pretrained(tmp_path / "base")
    if file.endswith("bin"):
        torch.save(weights, tmp_path / "base" / file)
    else:
        save_file({name: value.clone() for name, value in weights.items()}, tmp_path / "base" / file, {"format": "pt"})
    loaded = load_backbone(Config(architecture="wav2vec2", weights="base"), tmp_path).eval()
    with torch.no_grad():
        loaded.normalise, scaled = False, loaded.normalise
        torch.testing.assert_close(loaded(clips), backbone(clips), atol=1e-6, rtol=0)
    assert scaled, "as its preprocessor_config.json says, which this folder lacks"


def test_other_architecture_is_refused(tmp_path: Path) -> None:
    make("hubert").save(tmp_path / "base", {})
    with pytest.raises(ModelError, match="base is a hubert model, the configuration says wavlm"):
        load_backbone(Config(architecture="wavlm", weights="base"), tmp_path)


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make("hubert").save(tmp_path / "base", {})
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights.pop("encoder.layers.1.attention.q_proj.weight")
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights of a hubert model"):
        load_backbone(Config(architecture="hubert", weights="base"), tmp_path)


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a job must not download"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty cannot be loaded"):
        load_backbone(Config(architecture="hubert", weights="empty"), tmp_path)
    with pytest.raises(ModelError, match=r"lacks revision 0b5b8e868dd8.*emoadapt models fetch facebook/wav2vec2-base"):
        load_backbone(Config(architecture="wav2vec2", weights="facebook/wav2vec2-base"), tmp_path)


def test_weights_of_the_hugging_face_cache_are_those_of_the_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for seed, commit in enumerate(("a" * 40, "b" * 40)):
        make("hubert", seed=seed).save(tmp_path / "cache/models--some--one/snapshots" / commit, {})
    (tmp_path / "cache/models--some--one/refs").mkdir()
    (tmp_path / "cache/models--some--one/refs/main").write_text("a" * 40)
    weight = "model.encoder.layers.0.attention.q_proj.weight"
    for revision, seed in ((None, 0), ("b" * 40, 1)):
        loaded = load_backbone(Config(architecture="hubert", weights="some/one", revision=revision), tmp_path)
        assert torch.equal(loaded.state_dict()[weight], make("hubert", seed=seed).state_dict()[weight])
    with pytest.raises(ModelError, match="fetch some/one@ccc"):
        load_backbone(Config(architecture="hubert", weights="some/one", revision="c" * 40), tmp_path)


def test_a_pickled_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    make("hubert").save(tmp_path / "base", {})
    (tmp_path / "base" / "model.safetensors").unlink()
    torch.save({"weight": Trap()}, tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="base cannot be loaded"):
        load_backbone(Config(architecture="hubert", weights="base"), tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_group_norm_data2vec_is_refused() -> None:
    with pytest.raises(ModelError, match="layer norm only"):
        build_untrained("data2vec", UntrainedBackbone(**SMALL, feat_extract_norm="group"))


def test_bf16_autocast_gives_nearly_the_same_embedding() -> None:
    for architecture, norm in FAMILIES:
        backbone, clips = make(architecture, norm), make_clips(3000, 5000)
        with torch.no_grad():
            exact = backbone(clips)
            with torch.autocast("cpu", torch.bfloat16):
                rough = backbone(clips)
        assert rough.dtype == torch.float32
        assert (rough - exact).norm() / exact.norm() < 0.05
