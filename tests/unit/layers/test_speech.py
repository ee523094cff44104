"""What a study may want of a backbone beyond the model itself: weighted layers, adapters, frozen layers, SpecAugment."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification

from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.speech_transformer import Config
from emoadapt.config import load_study
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ConfigError, ModelError
from emoadapt.layers.speech import SpeechBackbone

SMALL = {
    "conv_dim": (12, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 4, 4), "hidden_size": 32, "layers": 3,
    "heads": 4, "intermediate_size": 48, "conv_pos_kernel": 6, "conv_pos_groups": 4, "dropout": 0.0,
}  # fmt: skip
FAMILIES = [("wav2vec2", "group"), ("wavlm", "layer"), ("hubert", "group"), ("data2vec", "layer")]
OPTIONS: dict[str, dict[str, Any]] = {
    "weighted": {"layers": "weighted"},
    "adapters": {"lora": {"rank": 4}},
    "top": {"train_layers": 1},
    "masked": {"spec_augment": {"time_share": 0.4, "time_frames": 3, "channel_share": 0.3, "channel_width": 4}},
}
OPTIONS["silence"] = {"pad": {"seconds": 0.4}}
OPTIONS["repeat"] = {"pad": {"seconds": 0.4, "mode": "repeat"}}
OPTIONS["together"] = OPTIONS["weighted"] | OPTIONS["adapters"] | OPTIONS["masked"] | OPTIONS["repeat"]


def configure(architecture: str, norm: str = "layer", **options: Any) -> Config:
    untrained = SMALL | {"feat_extract_norm": norm}
    return Config.model_validate({"architecture": architecture, "untrained": untrained, **options})


def make(architecture: str, norm: str = "layer", **options: Any) -> SpeechBackbone:
    """A backbone whose biases, layer weights and adapters are not what they begin with, which would hide faults."""
    backbone = load_backbone(configure(architecture, norm, **options), Path("nowhere"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias") or "lora_" in name or name == "layer_weights":
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return backbone


def make_clips(*lengths: int) -> list[Clip]:
    generator = torch.Generator().manual_seed(7)
    return [Clip(f"c/{n}", {"audio": 0.1 * torch.randn(n, generator=generator) + 0.05}, epoch=2) for n in lengths]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_embedding_is_the_same_alone_and_in_a_padded_batch(architecture: str, norm: str, option: str) -> None:
    """In training, where masks are drawn, as in evaluation."""
    backbone, clips = make(architecture, norm, **OPTIONS[option]), make_clips(3000, 8000, 5001)
    embeddings = []
    for backbone.training in (True, False):
        with torch.no_grad():
            together = backbone.embed(collate_clips(clips, {"audio": AUDIO}, seed=5))
            alone = torch.cat([backbone.embed(collate_clips([clip], {"audio": AUDIO}, seed=5)) for clip in clips])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
        assert (together[0] - together[1]).abs().max() > 1e-3
        embeddings.append(together)
    assert torch.equal(*embeddings) is ("spec_augment" not in OPTIONS[option])


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_weighted_layers_are_those_of_transformers(architecture: str, norm: str) -> None:
    """`use_weighted_layer_sum` of its classification models, whose projection and classifier are linear."""
    backbone, (clip,) = make(architecture, norm, layers="weighted").eval(), make_clips(6000)
    config = AutoConfig.for_model(**backbone.model.config.to_dict() | {"use_weighted_layer_sum": True, "num_labels": 5})
    reference = AutoModelForAudioClassification.from_config(config).eval()
    getattr(reference, reference.base_model_prefix).load_state_dict(backbone.model.state_dict())
    with torch.no_grad():
        reference.layer_weights.copy_(backbone.layer_weights)
        values = backbone._prepare(clip.streams["audio"])[None]
        expected = reference(values).logits
        found = reference.classifier(reference.projector(backbone([clip.streams["audio"]])))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["wav2vec2", "wavlm", "hubert"])
def test_encoders_of_large_models_too(architecture: str) -> None:
    """They normalise before each layer and once more at the end (`do_stable_layer_norm`)."""
    plain = make(architecture, layers="weighted")
    config = AutoConfig.for_model(**plain.model.config.to_dict() | {"do_stable_layer_norm": True})
    backbone = SpeechBackbone(
        AutoModel.from_config(config), "speech_transformer", normalise=True, origin="large", trained=False
    ).eval()
    backbone.layer_weights = plain.layer_weights
    backbone.load_state_dict(plain.state_dict())
    clips = [clip.streams["audio"] for clip in make_clips(3000, 8000, 5001)]
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
        states = backbone.model(backbone._prepare(clips[0])[None], output_hidden_states=True).hidden_states
        weighted = sum(w * state for w, state in zip(plain.layer_weights.softmax(dim=0), states, strict=True))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(alone[:1], weighted.mean(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["wav2vec2", "wavlm"])
def test_saved_layer_weights_come_back(architecture: str, tmp_path: Path) -> None:
    backbone, (clip,) = make(architecture, layers="weighted").eval(), make_clips(3000)
    backbone.save(tmp_path / "model", {})
    again = load_backbone(configure(architecture, layers="weighted"), tmp_path, tmp_path / "model").eval()
    with torch.no_grad():
        assert torch.equal(again([clip.streams["audio"]]), backbone([clip.streams["audio"]]))


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_adapters_begin_as_no_change_and_alone_learn(architecture: str, norm: str) -> None:
    plain = load_backbone(configure(architecture, norm), Path("nowhere"))
    backbone = load_backbone(configure(architecture, norm, lora={"rank": 4}), Path("nowhere"))
    backbone.set_cnn_trainable(False)
    signals = [clip.streams["audio"] for clip in make_clips(3000, 4000)]
    embedding = backbone(signals)
    # Adding zeros changes nothing; where a tensor lies in memory may change the last bit.
    torch.testing.assert_close(embedding, plain(signals), atol=1e-6, rtol=0)
    embedding.square().sum().backward()
    learning = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    assert len(learning) == 3 * 2 * 2
    assert all("lora_" in name for name in learning)
    # An adapter's first matrix has no gradient while its second is zero.
    assert all(value.grad.abs().max() > 0 for name, value in learning.items() if "lora_B" in name)


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_saved_adapters_are_merged(architecture: str, norm: str, tmp_path: Path) -> None:
    backbone, (clip,) = make(architecture, norm, lora={"rank": 4}).eval(), make_clips(3000)
    names = set(backbone.state_dict())
    backbone.save(tmp_path / "model", {})
    plain = AutoModel.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        expected = backbone([clip.streams["audio"]])
        values = backbone._prepare(clip.streams["audio"])[None]
        torch.testing.assert_close(plain(values).last_hidden_state.mean(dim=1), expected, atol=1e-5, rtol=0)
    assert set(backbone.state_dict()) == names
    assert not any("lora" in name for name in plain.state_dict())
    # and the next stage puts new ones on top
    again = load_backbone(configure(architecture, norm, lora={"rank": 4}), tmp_path, tmp_path / "model").eval()
    with torch.no_grad():
        torch.testing.assert_close(again([clip.streams["audio"]]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["silence", "repeat"])
@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_padding_of_short_clips_is_model_input(architecture: str, norm: str, mode: str) -> None:
    """As `transformers` hears the normalised clip lengthened by hand; longer ones are left alone."""
    plain = make(architecture, norm).eval()
    backbone = make(architecture, norm, pad={"seconds": 0.4, "mode": mode}).eval()
    backbone.load_state_dict(plain.state_dict())
    short, long = (clip.streams["audio"] for clip in make_clips(2500, 8000))
    with torch.no_grad():
        heard = plain._prepare(short).numpy()
        by_hand = np.resize(heard, 6400) if mode == "repeat" else np.pad(heard, (0, 3900))
        expected = plain.model(torch.from_numpy(by_hand)[None]).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(backbone([short]), expected, atol=1e-5, rtol=0)
        assert (backbone([short]) - plain([short])).abs().max() > 1e-3
        assert torch.equal(backbone([long]), plain([long]))
        frames, counts = backbone.encode_cnn([short, long])
    assert counts.tolist() == [backbone.count_frames(2500), backbone.count_frames(8000)]
    assert counts.tolist() == [plain.count_frames(6400), plain.count_frames(8000)]
    assert frames[0, counts[0] :].eq(0).all()


def test_padding_is_saved_with_the_model_unless_a_study_changes_it(tmp_path: Path) -> None:
    backbone, clips = (
        make("hubert", pad={"seconds": 0.4, "mode": "repeat"}).eval(),
        [clip.streams["audio"] for clip in make_clips(2500)],
    )
    backbone.save(tmp_path / "model", {})
    loaded = load_folder(tmp_path / "model", origin="x", trained=True).eval()
    assert loaded.padding == {"seconds": 0.4, "mode": "repeat"}
    with torch.no_grad():
        assert torch.equal(loaded(clips), backbone(clips))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Clips shorter than 0.4 s are repeated up to that length; `transformers` does not do that." in card
    again = load_backbone(configure("hubert"), tmp_path, tmp_path / "model")
    assert (again.padding, again.shortest) == ({}, 0)
    again.save(tmp_path / "again", {})
    assert "Clips shorter" not in (tmp_path / "again" / "README.md").read_text()


def test_cropping_below_the_padded_length_is_refused() -> None:
    """Symptom: a clip would have been padded before its CNN output was cached, and cropped after."""
    values = {
        "study": "s", "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {"b": {"architecture": "wavlm", "untrained": {}, "pad": {"seconds": 3}}},
        "adaptations": {"a": {"corpora": ["c"], "objectives": {"egemaps": 1}, "max_seconds": 2.5}},
    }  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"backbones\.b\.pad\.seconds: 3 s is more than adaptations\.a\.max_seconds, 2\.5 s"
    ):
        load_study(values)
    values["adaptations"]["a"]["max_seconds"] = 3
    assert load_study(values).backbones["b"].pad.seconds == 3


def test_attention_adapters_of_wavlm_are_refused() -> None:
    """Symptom: they were trained for nothing, as its attention reads the weights beneath them."""
    with pytest.raises(ValueError, match="WavLM's attention ignores adapters in q_proj; use intermediate_dense"):
        configure("wavlm", lora={"modules": ["q_proj", "output_dense"]})


def test_adapters_and_top_layers_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other; remove one"):
        configure("hubert", lora={}, train_layers=1)


@pytest.mark.parametrize(("architecture", "norm"), FAMILIES)
def test_only_the_top_layers_learn(architecture: str, norm: str) -> None:
    backbone = load_backbone(configure(architecture, norm, train_layers=2), Path("nowhere"))
    backbone.set_cnn_trainable(False)
    backbone([clip.streams["audio"] for clip in make_clips(3000)]).square().sum().backward()
    changed = {name.split(".")[3] for name, value in backbone.named_parameters() if value.grad is not None}
    assert changed == {"1", "2"}
    assert all(
        name.startswith("model.encoder.layers.") for name, value in backbone.named_parameters() if value.requires_grad
    )


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="has 3 layers, train_layers is 4"):
        make("hubert", train_layers=4)


def test_cnn_stays_as_it_was_set() -> None:
    """`cnn` says when the CNN is trained, whatever is trained above it."""
    for options in (OPTIONS["adapters"], OPTIONS["top"]):
        backbone = load_backbone(configure("wav2vec2", **options), Path("nowhere"))
        assert all(parameter.requires_grad for parameter in backbone.model.feature_extractor.parameters())


def test_masked_frames_become_the_vector_of_pretraining_where_there_is_one() -> None:
    backbone = make("wav2vec2", spec_augment={"time_share": 0.9, "time_frames": 1}).train()
    batch = collate_clips(make_clips(6000), {"audio": AUDIO}, seed=0)
    plain = backbone.embed(batch)
    backbone.model.masked_spec_embed = torch.nn.Parameter(torch.full((32,), 3.0))
    assert (backbone.embed(batch) - plain).abs().max() > 0.01


def test_checkpoint_without_that_vector_gets_no_random_one(tmp_path: Path) -> None:
    backbone = make("wav2vec2")
    backbone.model.config.mask_time_prob = 0.05
    backbone.save(tmp_path / "base", {})
    loaded = load_backbone(Config(architecture="wav2vec2", weights="base"), tmp_path)
    assert loaded.model.masked_spec_embed is None
