"""Whisper's encoder on clips of natural length, against both libraries that have it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import whisper
from torch import Tensor, nn
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
    WhisperModel,
)

from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.whisper import Config, load_stand_in, log_mel, make_filters
from emoadapt.errors import ModelError
from emoadapt.inference import onnx_export
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.heads import build_head
from emoadapt.layers.speech import SpeechBackbone

SMALL = {"hidden_size": 32, "layers": 3, "heads": 4, "intermediate_size": 48, "dropout": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bands": {"untrained": SMALL | {"mel_bands": 128}},
    "weighted": {"layers": "weighted"},
    "adapters": {"lora": {"rank": 4, "modules": ["q_proj", "fc1", "fc2"]}},
    "top": {"train_layers": 1},
    "masked": {"spec_augment": {"time_share": 0.4, "time_frames": 3, "channel_share": 0.3, "channel_width": 4}},
    "silence": {"pad": {"seconds": 0.4}},
    "repeat": {"pad": {"seconds": 0.4, "mode": "repeat"}},
}
OPTIONS["together"] = {
    key: value for name in ("weighted", "adapters", "masked", "repeat") for key, value in OPTIONS[name].items()
}
LENGTHS = (1, 399, 400, 480, 640, 3000, 8000, 5001)
LONG = 31 * 16_000 + 77
DIMENSIONS = {
    "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_layers": 1,
    "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1, "begin_suppress_tokens": None,
}  # fmt: skip


def make(**options: Any) -> SpeechBackbone:
    """A small backbone whose biases, layer weights and adapters are not what they begin with, which would hide faults."""
    config = Config.model_validate({"architecture": "whisper", "untrained": SMALL, **options})
    backbone = load_backbone(config, Path("nowhere"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias") or "lora_" in name or name == "layer_weights":
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def make_clips(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [0.1 * torch.randn(n, generator=generator) + 0.05 for n in lengths]


needs_data = pytest.mark.skipif(
    "EMOADAPT_DATA" not in os.environ or "EMOADAPT_MODELS" not in os.environ,
    reason="EMOADAPT_DATA or EMOADAPT_MODELS is not set",
)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """A sentence of EmoDB."""
    from emoadapt.media import decode_audio

    folder = Path(os.environ["EMOADAPT_DATA"], "emodb")
    file = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".flac", ".wav"))
    return torch.from_numpy(decode_audio(file)).float() / 32768


@pytest.fixture(scope="module")
def tiny() -> SpeechBackbone:
    """The real weights of tiny.en."""
    config = Config(architecture="whisper", weights="whisper_converted/tiny.en.pt")
    return load_backbone(config, Path(os.environ["EMOADAPT_MODELS"])).eval()


# --- spectrogram and positions ----------------------------------------------------------------------


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("n_samples", [400, 7777, 480_000])
def test_spectrogram_is_that_of_both_libraries(bands: int, n_samples: int) -> None:
    (clip,) = make_clips(n_samples)
    clip[n_samples // 2 :] *= 1e-5  # a quiet half, where the floor counts
    found = log_mel(clip[None], make_filters(bands))[0]
    assert len(found) == n_samples // 160
    torch.testing.assert_close(found.T, whisper.log_mel_spectrogram(clip, bands), atol=1e-5, rtol=0)
    extract = WhisperFeatureExtractor(feature_size=bands)
    natural = extract(clip.numpy(), sampling_rate=16_000, padding="do_not_pad", return_tensors="pt").input_features
    torch.testing.assert_close(found.T, natural[0], atol=1e-5, rtol=0)


def test_floor_depends_on_the_clip_alone() -> None:
    loud, quiet = (scale * clip for scale, clip in zip((1.0, 1e-4), make_clips(5000, 4000), strict=True))
    backbone = make()
    with torch.no_grad():
        together, lengths = backbone.encode_cnn([loud, quiet])
        torch.testing.assert_close(together[1, : lengths[1]], backbone.encode_cnn([quiet])[0][0], atol=1e-5, rtol=0)


def test_frames_are_counted() -> None:
    backbone = make()
    for n_samples in LENGTHS:
        frames, lengths = backbone.encode_cnn(make_clips(n_samples))
        assert frames.shape == (1, backbone.count_frames(n_samples), backbone.cnn_dimension)
        assert lengths.tolist() == [frames.shape[1]]
    assert backbone.count_frames(30 * 16_000) == 1500
    assert backbone.count_frames(backbone.parts.longest) == 1500
    assert backbone.count_frames(backbone.parts.longest + 1) == 1501


# --- one clip, many clips ---------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS)
def test_embedding_is_the_same_alone_in_a_batch_and_from_kept_frames(option: str) -> None:
    backbone, clips = make(**OPTIONS[option]), make_clips(*LENGTHS)
    draws = [[5, 2, index] for index in range(len(clips))]
    for backbone.training in (True, False):
        with torch.no_grad():
            together = backbone(clips, draws)
            alone = torch.cat([backbone([clip], [draw]) for clip, draw in zip(clips, draws, strict=True)])
            kept = [backbone.encode_cnn([clip])[0][0] for clip in clips]
            lengths = torch.tensor([len(frames) for frames in kept])
            frames = nn.utils.rnn.pad_sequence(kept, batch_first=True)
            again = backbone.pool(backbone.encode(frames, lengths, draws), lengths)
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
        torch.testing.assert_close(again, together, atol=1e-4, rtol=0)
        assert (together[-1] - together[-2]).abs().max() > 1e-3


@needs_data
def test_real_weights_give_the_same_alone_and_in_a_batch(tiny: SpeechBackbone, speech: Tensor) -> None:
    clips = [speech, speech[:9000], 0.01 * speech[4000:30_001]]
    with torch.no_grad():
        together, alone = tiny(clips), torch.cat([tiny([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layers", ["last", "weighted"])
def test_clip_of_more_than_thirty_seconds_is_read_whole_in_windows(layers: str) -> None:
    backbone, clips = make(layers=layers), make_clips(LONG, 3000)
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
        frames, lengths = backbone.encode_cnn(clips[:1])
        size = -(-int(lengths) // 2)
        windows = [
            backbone.encode(part, torch.tensor([part.shape[1]])) for part in (frames[:, :size], frames[:, size:])
        ]
        by_hand = torch.cat(windows, dim=1).mean(dim=1)
        cropped = backbone([clips[0][: 30 * 16_000]])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(alone[:1], by_hand, atol=1e-4, rtol=0)
    assert (alone[:1] - cropped).abs().max() > 1e-3
    assert backbone.embed_layers(clips).shape == (2, 4, 32)
    torch.testing.assert_close(backbone.embed_layers(clips)[:1], backbone.embed_layers(clips[:1]), atol=1e-4, rtol=0)


# --- the libraries' own output ----------------------------------------------------------------------


def test_padded_to_thirty_seconds_every_layer_is_that_of_transformers(tmp_path: Path) -> None:
    backbone, (clip,) = make(pad={"seconds": 30}), make_clips(20_000)
    backbone.save(tmp_path, {})
    model = AutoModel.from_pretrained(tmp_path).eval()
    extract = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert isinstance(model, WhisperModel)
    with torch.no_grad():
        values = extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
        states = model.encoder(values, output_hidden_states=True).hidden_states
        assert states[-1].shape == (1, 1500, 32)
        expected = torch.stack([state.mean(dim=1) for state in states], dim=1)
        torch.testing.assert_close(backbone.embed_layers([clip]), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(backbone([clip]), expected[:, -1], atol=1e-5, rtol=0)


@needs_data
def test_real_weights_padded_give_what_openai_whisper_gives(speech: Tensor) -> None:
    models = Path(os.environ["EMOADAPT_MODELS"])
    config = Config(architecture="whisper", weights="whisper_converted/tiny.en.pt", pad={"seconds": 30})
    backbone = load_backbone(config, models).eval()
    reference = whisper.load_model(str(models / "whisper_converted/tiny.en.pt"))
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(speech))
    with torch.no_grad():
        found = backbone.encode(*backbone.encode_cnn([speech]))
        torch.testing.assert_close(found, reference.encoder(mel[None]), atol=1e-3, rtol=0)


# --- weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [WhisperForConditionalGeneration, WhisperModel, WhisperForAudioClassification])
@pytest.mark.parametrize("half", [False, True])
def test_folders_of_the_hub_are_loaded(kind: Any, half: bool, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = kind(WhisperConfig(**DIMENSIONS)).eval()
    (model.half() if half else model).save_pretrained(tmp_path / "openai/whisper-new", max_shard_size="60KB")
    config = Config(architecture="whisper", weights="openai/whisper-new")
    backbone = load_backbone(config, tmp_path).eval()
    encoder = (model.model if hasattr(model, "model") else model).encoder.float()
    assert backbone.model.state_dict().keys() == encoder.state_dict().keys()
    for name, value in backbone.model.state_dict().items():
        assert torch.equal(value, encoder.state_dict()[name])
    assert [name for name, value in backbone.named_parameters() if not value.requires_grad] == [
        "model.embed_positions.weight"
    ]
    assert load_backbone(config.model_copy(update={"architecture": "whisper"}), tmp_path).trained


def write_checkpoint(file: Path, **changes: Any) -> whisper.Whisper:
    """A checkpoint as openai-whisper saves it."""
    dims = {
        "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 32, "n_audio_head": 4, "n_audio_layer": 2,
        "n_vocab": 60, "n_text_ctx": 8, "n_text_state": 32, "n_text_head": 4, "n_text_layer": 1,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = whisper.Whisper(whisper.ModelDimensions(**dims)).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1)
    torch.save({"dims": dims, "model_state_dict": model.state_dict(), **changes}, file)
    return model


def test_checkpoint_of_openai_gives_the_same_encoder(tmp_path: Path) -> None:
    model, (clip,) = write_checkpoint(tmp_path / "new.pt"), make_clips(20_000)
    config = Config(architecture="whisper", weights="new.pt", pad={"seconds": 30})
    backbone = load_backbone(config, tmp_path).eval()
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip))
    with torch.no_grad():
        expected = model.encoder(mel[None])
        torch.testing.assert_close(backbone.encode(*backbone.encode_cnn([clip])), expected, atol=1e-3, rtol=1e-4)
    backbone.save(tmp_path / "saved", {})
    again = load_folder(tmp_path / "saved", "whisper", origin="saved", trained=True).eval()
    with torch.no_grad():
        assert torch.equal(again([clip]), backbone([clip]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_state_dict": {}}, "Missing key"),
        ({"dims": {"n_mels": 80}}, "'n_audio_state'"),
        ({"dims": None}, "not subscriptable"),
    ],
)
def test_damaged_checkpoint_is_named(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "new.pt", **changes)
    with pytest.raises(ModelError, match=r"new.pt is not a Whisper checkpoint .*; it must hold `dims`") as caught:
        load_backbone(Config(architecture="whisper", weights="new.pt"), tmp_path)
    assert reason in str(caught.value) or "state_dict" in str(caught.value)


def test_folder_that_lacks_weights_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make().save(tmp_path / "saved", {})
    file = tmp_path / "saved/model.safetensors"
    weights = load_file(file)
    del weights["encoder.layers.1.fc1.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"mine lacks 1 weights of a Whisper encoder, e.g. layers.1.fc1.weight"):
        load_folder(tmp_path / "saved", origin="mine", trained=True)
    (tmp_path / "saved/config.json").unlink()
    with pytest.raises(ModelError, match="mine cannot be loaded"):
        load_folder(tmp_path / "saved", "whisper", origin="mine", trained=True)


@pytest.mark.parametrize(("weights", "shape"), [("openai/whisper-base.en", (512, 6)), ("whisper/turbo", (1280, 32))])
def test_stand_in_has_the_size_that_the_name_says(
    weights: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        backbone = load_stand_in(Config(architecture="whisper", weights=weights))
    assert backbone is not None
    assert (backbone.width, len(backbone.layers)) == shape
    assert load_stand_in(Config(architecture="whisper", weights="mine")) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_anybody_s_classifier_predicts_as_transformers_does(weighted: bool, tmp_path: Path) -> None:
    """It was trained on clips padded to 30 s."""
    values = DIMENSIONS | {"use_weighted_layer_sum": weighted, "classifier_proj_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = WhisperForAudioClassification(WhisperConfig(**values, id2label={0: "sad", 1: "glad"})).eval()
        for parameter in (*model.projector.parameters(), *model.classifier.parameters()):
            nn.init.normal_(parameter)
    if weighted:
        nn.init.normal_(model.layer_weights)
    model.save_pretrained(tmp_path)
    classifier, (clip,) = load_classifier(tmp_path), make_clips(20_000)
    extract = WhisperFeatureExtractor()
    with torch.no_grad():
        expected = model(extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_features).logits
        torch.testing.assert_close(classifier([clip]), expected, atol=1e-4, rtol=0)
    assert classifier.classes == ("sad", "glad")


# --- training ---------------------------------------------------------------------------------------


def test_convolutions_learn_where_they_are_released() -> None:
    backbone, clips = make().train(), make_clips(3000, 8000)
    for trainable in (True, False):
        backbone.zero_grad()
        backbone.set_cnn_trainable(trainable)
        backbone(clips).square().sum().backward()
        for module in backbone.parts.front_end:
            assert (module.weight.grad is not None and bool(module.weight.grad.any())) is trainable
        assert backbone.layers[0].fc1.weight.grad.any()
        assert backbone.model.embed_positions.weight.grad is None


@pytest.mark.parametrize(("cnn", "expected"), [(None, "stage1"), ("both", "both"), ("frozen", "frozen")])
def test_front_end_is_kept_or_trained_as_of_other_families(cnn: Any, expected: str) -> None:
    config = Config.model_validate({"architecture": "whisper", "untrained": SMALL, "cnn": cnn})
    assert config.cnn_mode == expected
    assert Config(architecture="whisper", weights="whisper/small").cnn_mode == "frozen"


def test_layers_that_are_trained() -> None:
    top = {name for name, value in make(train_layers=1).named_parameters() if value.requires_grad}
    assert top == {name for name, _ in make().named_parameters() if name.startswith("model.layers.2.")} | {
        f"model.{name}.{kind}" for name in ("conv1", "conv2") for kind in ("weight", "bias")
    }
    with pytest.raises(ModelError, match="has 3 layers, train_layers is 4"):
        make(train_layers=4)


def test_adapters_learn_and_are_merged(tmp_path: Path) -> None:
    backbone, clips = make(**OPTIONS["adapters"]), make_clips(3000, 8000)
    backbone.set_cnn_trainable(False)
    backbone.train()(clips).square().sum().backward()
    learning = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    assert len(learning) == 3 * 3 * 2
    assert all("lora_" in name and value.grad.abs().max() > 0 for name, value in learning.items())
    backbone.eval().save(tmp_path, {})
    again = load_folder(tmp_path, origin="saved", trained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(clips), backbone(clips), atol=1e-5, rtol=0)
    with pytest.raises(ModelError, match="a whisper model has no layers called output_dense"):
        make(lora={"modules": ["output_dense"]})


# --- what comes out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "layers"), [("mlp", "last"), ("hf", "weighted")])
def test_classifier_comes_back_and_its_file_gives_the_same(head: str, layers: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    backbone = make(layers=layers)
    classifier = EmotionClassifier(backbone, build_head(head, backbone.width, 8, 3, 0), ["a", "b", "c"]).eval()
    classifier.save(tmp_path / "model", {"title": "x"})
    again, file = load_classifier(tmp_path / "model"), tmp_path / "model.onnx"
    clips = make_clips(3000, 5000)
    with torch.no_grad():
        assert torch.equal(again(clips), classifier(clips))
    assert max(found.difference for found in export_onnx(again, file)) < onnx_export.TOLERANCE
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert (metadata["min_samples"], metadata["max_samples"]) == ("400", "480159")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    quiet = torch.cat([clips[1], torch.zeros(3001), 1e-4 * clips[0]])
    (logits,) = session.run(["logits"], {"audio": quiet[None].numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), again([quiet]), atol=1e-4, rtol=0)
    with pytest.raises(Exception, match=r"(?i)dimension|broadcast|shape|invalid"):
        session.run(["logits"], {"audio": make_clips(LONG)[0][None].numpy()})
    card = (tmp_path / "model/README.md").read_text()
    assert "library_name: emoadapt" in card
    assert json.loads((tmp_path / "model/config.json").read_text())["decoder_layers"] == 0
