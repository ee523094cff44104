"""The Audio Spectrogram Transformer on clips of natural length, against `transformers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from emoadapt import schema
from emoadapt.backbones.ast import Config, load_stand_in, log_mel, make_filters
from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.config.training import Optimisation
from emoadapt.data.clips import ClipStore, Source
from emoadapt.data.streams import AUDIO, FRONTEND, list_columns
from emoadapt.errors import ModelError
from emoadapt.extraction.outputs import EXTRACTORS
from emoadapt.inference import onnx_export
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.heads import build_head
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.storage.tables import write_table
from emoadapt.training.signals import open_clips

SMALL = {"hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 24, "dropout": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weighted": {"layers": "weighted"},
    "adapters": {"lora": {"rank": 4, "modules": ["q_proj", "o_proj", "fc1"]}},
    "masked": {"spec_augment": {"time_share": 0.4, "time_frames": 12, "channel_share": 0.3, "channel_width": 4}},
    "repeat": {"pad": {"seconds": 0.4, "mode": "repeat"}},
}
OPTIONS["together"] = {key: value for options in OPTIONS.values() for key, value in options.items()}
LENGTHS = (1, 2799, 2800, 4399, 4400, 8000, 5001)
WHOLE = 400 + 1023 * 160
"""Samples of 1,024 frames of the spectrogram."""


def make(**options: Any) -> SpeechBackbone:
    """A small backbone whose biases, layer weights and adapters are not what they begin with, which would hide faults."""
    config = Config.model_validate({"architecture": "ast", "untrained": SMALL, **options})
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


# --- spectrogram and patches ------------------------------------------------------------------------


def extract_by_transformers(clip: Tensor) -> Tensor:
    """What `ASTFeatureExtractor` computes without torchaudio, scaled, and not filled up."""
    filters = mel_filter_bank(257, 128, 20.0, 8000.0, 16_000, None, "kaldi", True)
    found = spectrogram(
        clip.numpy(), window_function(400, "hann", periodic=False), 400, 160, 512, power=2.0, center=False,
        preemphasis=0.97, mel_filters=filters, log_mel="log", mel_floor=1.192092955078125e-07, remove_dc_offset=True,
    )  # fmt: skip
    return torch.from_numpy(ASTFeatureExtractor().normalize(found.T))


@pytest.mark.parametrize("n_samples", [400, 7777])
def test_spectrogram_is_that_of_transformers(n_samples: int) -> None:
    (clip,) = make_clips(n_samples)
    clip[n_samples // 2 :] *= 1e-5  # a quiet half, where the floor counts
    found = log_mel(clip[None], make_filters(128))[0]
    assert len(found) == (n_samples - 400) // 160 + 1
    torch.testing.assert_close(found, extract_by_transformers(clip).float(), atol=1e-3, rtol=0)


@pytest.mark.skipif("EMOADAPT_DATA" not in os.environ, reason="EMOADAPT_DATA is not set")
def test_spectrogram_of_real_speech_is_that_of_the_feature_extractor() -> None:
    from emoadapt.media import decode_audio

    files = sorted(Path(os.environ["EMOADAPT_DATA"], "emodb").rglob("*.flac"))
    for file in files[:3]:
        clip = torch.from_numpy(decode_audio(file).astype(np.float32) / 32768)
        found = log_mel(clip[None], make_filters(128))[0]
        values = ASTFeatureExtractor()(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values[0]
        assert (found - values[: len(found)]).abs().max() < 1e-3
        assert found.std() > 0.1
    assert files


def test_frames_are_counted() -> None:
    backbone = make()
    for n_samples in LENGTHS:
        frames, lengths = backbone.encode_cnn(make_clips(n_samples))
        assert frames.shape == (1, backbone.count_frames(n_samples), backbone.cnn_dimension)
        assert lengths.tolist() == [frames.shape[1]]
    assert [backbone.count_frames(n) for n in (1, 2800, 4399, 4400, WHOLE)] == [12, 12, 12, 24, 12 * 101]
    assert backbone.count_frames(backbone.parts.longest) == 12 * 101
    assert backbone.count_frames(backbone.parts.longest + 1) == 12 * 102


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


@pytest.mark.parametrize("layers", ["last", "weighted"])
def test_clip_of_more_than_ten_seconds_is_read_whole_in_windows(layers: str) -> None:
    backbone, clips = make(layers=layers), make_clips(WHOLE + 8000, 3000)
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
        frames, lengths = backbone.encode_cnn(clips[:1])
        size = 12 * -(-int(lengths) // 24)
        windows = [
            backbone.encode(part, torch.tensor([part.shape[1]])) for part in (frames[:, :size], frames[:, size:])
        ]
        by_hand = torch.cat(windows, dim=1).mean(dim=1)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(alone[:1], by_hand, atol=1e-4, rtol=0)
    assert (alone[:1] - backbone([clips[0][:WHOLE]])).abs().max() > 1e-4


def test_every_layer_is_that_of_transformers(tmp_path: Path) -> None:
    backbone, (clip,) = make(), make_clips(WHOLE)
    backbone.save(tmp_path, {})
    model, extract = ASTModel.from_pretrained(tmp_path).eval(), ASTFeatureExtractor.from_pretrained(tmp_path)
    with torch.no_grad():
        values = extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        found = model(values, output_hidden_states=True)
        assert len(found.hidden_states) == 3
        expected = torch.stack([state[:, 2:].mean(dim=1) for state in found.hidden_states], dim=1)
        torch.testing.assert_close(backbone.embed_layers([clip]), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(backbone([clip]), found.last_hidden_state[:, 2:].mean(dim=1), atol=1e-4, rtol=0)


def test_short_clip_keeps_the_positions_of_its_times() -> None:
    """The model of `transformers` with its positions cut by hand, on a spectrogram that is not filled up."""
    backbone, (clip,) = make(), make_clips(8000)
    model, steps = backbone.model, backbone.count_frames(8000) // 12
    positions = model.embeddings.position_embeddings.data
    grid = positions[:, 2:].reshape(12, 101, 16)[:, :steps].reshape(1, 12 * steps, 16)
    with torch.no_grad():
        found = backbone([clip])
        model.embeddings.position_embeddings.data = torch.cat([positions[:, :2], grid], dim=1)
        values = extract_by_transformers(clip).float()[None]
        torch.testing.assert_close(found, model(values).last_hidden_state[:, 2:].mean(dim=1), atol=1e-4, rtol=0)


# --- weights ----------------------------------------------------------------------------------------


def test_encoder_of_a_classifier_is_loaded_and_its_head_named(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        dimensions = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        model = ASTForAudioClassification(ASTConfig(**dimensions))
    model.save_pretrained(tmp_path / "MIT/ast-new")
    backbone = load_backbone(Config(architecture="ast", weights="MIT/ast-new"), tmp_path)
    encoder = model.audio_spectrogram_transformer.state_dict()
    assert backbone.model.state_dict().keys() == encoder.keys()
    assert all(torch.equal(value, encoder[name]) for name, value in backbone.model.state_dict().items())
    assert backbone.trained and backbone.notes == ["Not used of the weights: classifier."]
    with pytest.raises(
        ModelError, match="audio-spectrogram-transformer classifier, whose head is of another kind; name the"
    ):
        load_classifier(tmp_path / "MIT/ast-new")


def test_folder_that_lacks_weights_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    make().save(tmp_path / "saved", {})
    file = tmp_path / "saved/model.safetensors"
    weights = load_file(file)
    (name,) = (name for name in weights if name.endswith(("1.mlp.fc1.weight", "1.intermediate.dense.weight")))
    del weights[name]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"mine lacks 1 weights of an AST model, e.g. layers.1.mlp.fc1.weight"):
        load_folder(tmp_path / "saved", origin="mine", trained=True)


def test_stand_in_has_the_published_size() -> None:
    with torch.device("meta"):
        backbone = load_stand_in(Config(architecture="ast", weights="MIT/ast-finetuned-audioset-10-10-0.4593"))
    assert (backbone.width, len(backbone.layers)) == (768, 12)


# --- training and export ----------------------------------------------------------------------------


def test_projection_of_the_patches_learns_where_it_is_released() -> None:
    backbone, clips = make().train(), make_clips(3000, 8000)
    for trainable in (True, False):
        backbone.zero_grad()
        backbone.set_cnn_trainable(trainable)
        backbone(clips).square().sum().backward()
        projection = backbone.model.embeddings.patch_embeddings.projection
        assert (projection.weight.grad is not None and bool(projection.weight.grad.any())) is trainable
        for name in ("cls_token", "distillation_token", "position_embeddings"):
            assert getattr(backbone.model.embeddings, name).grad.any(), name


def test_layers_that_are_trained() -> None:
    top = {name for name, value in make(train_layers=1, cnn="frozen").named_parameters() if value.requires_grad}
    front = {f"model.embeddings.patch_embeddings.projection.{kind}" for kind in ("weight", "bias")}
    assert top == front | {name for name, _ in make().named_parameters() if name.startswith("model.layers.1.")}


def test_adapters_learn_and_are_merged(tmp_path: Path) -> None:
    backbone, clips = make(**OPTIONS["adapters"]), make_clips(3000, 8000)
    backbone.set_cnn_trainable(False)
    backbone.train()(clips).square().sum().backward()
    learning = {name: value for name, value in backbone.named_parameters() if value.requires_grad}
    assert len(learning) == 2 * 3 * 2
    assert all("lora_" in name and value.grad.abs().max() > 0 for name, value in learning.items())
    backbone.eval().save(tmp_path, {})
    again = load_folder(tmp_path, origin="saved", trained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(clips), backbone(clips), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("head", "layers"), [("mlp", "last"), ("hf", "weighted")])
def test_classifier_comes_back_and_its_file_gives_the_same(head: str, layers: str, tmp_path: Path) -> None:
    import onnx

    backbone = make(layers=layers)
    classifier = EmotionClassifier(backbone, build_head(head, backbone.width, 8, 3, 0), ["a", "b", "c"]).eval()
    classifier.save(tmp_path / "model", {"title": "x"})
    again, file = load_classifier(tmp_path / "model"), tmp_path / "model.onnx"
    clips = make_clips(3000, 5000)
    with torch.no_grad():
        assert torch.equal(again(clips), classifier(clips))
    assert max(found.difference for found in export_onnx(again, file)) < onnx_export.TOLERANCE
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert (metadata["min_samples"], metadata["max_samples"]) == ("2800", str(backbone.parts.longest))


@pytest.mark.parametrize("place", ["first", "second"])
@pytest.mark.parametrize("crop", ["beginning", "centre", "random"])
def test_crops_of_the_kept_front_end_begin_with_the_lowest_band(crop: str, place: str, tmp_path: Path) -> None:
    """Twelve patches of a step stay together: a crop is what the front end makes of the audio from that step on."""
    backbone = make()
    (clip,) = make_clips(48_000)
    samples = (clip * 8192).numpy().astype("<i2")
    row = {"utterance_id": "c/a", "key": "k", "status": "ok"}
    audio = {"audio": samples.tobytes(), "n_samples": len(samples)}
    kept = EXTRACTORS["frontend"](backbone, {"audio": AUDIO}).extract([audio])[0]
    write_table(tmp_path / "audio.parquet", [row | audio], schema.feature_table("audio"))
    write_table(tmp_path / "kept.parquet", [row | kept], schema.FRONTEND)
    stores = {
        stream: ClipStore.build([tmp_path / f"{name}.parquet"], list_columns(stream), tmp_path)
        for name, stream in (("audio", AUDIO), ("kept", FRONTEND))
    }
    role = "frontend"
    found = Source(stores[FRONTEND], FRONTEND, backbone.find_step(role), backbone.count_rows(role))
    sources = {role: found} if place == "first" else {"audio": Source(stores[AUDIO], AUDIO), role: found}
    settings = Optimisation(epochs=1, max_seconds=0.5, crop=crop)
    dataset = open_clips(sources, lambda _: {}, settings, backbone, 3)
    whole, begins = torch.from_numpy(samples.astype(np.float32) / 32768), set()
    for epoch in range(12):
        frames = dataset["c/a", epoch].streams[role].float()
        assert len(frames) % 12 == 0
        n_steps = len(frames) // 12
        for step in range(29):
            part = whole[1600 * step : 1600 * step + 1600 * n_steps + 1200]
            (expected,), _ = backbone.run_front_end([part])
            if expected.shape == frames.shape and torch.allclose(expected, frames, atol=2e-2, rtol=1e-2):
                begins.add(step)
                break
        else:
            raise AssertionError(f"the crop of epoch {epoch} is of no step")
    assert len(begins) == 1 if crop != "random" else len(begins) > 3
