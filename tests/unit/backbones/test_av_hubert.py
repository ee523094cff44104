"""The audio branch of AV-HuBERT: log filter banks, fairseq's checkpoints and encoder, saving and loading."""

import argparse
import math
import os
import pickle
import sys
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from emoadapt.backbones.av_hubert import Config
from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ModelError
from emoadapt.extraction.outputs import FrontEndExtractor
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.inference.predict import predict_files
from emoadapt.layers.av_hubert import load_checkpoint, log_filter_bank, stack_frames
from emoadapt.layers.heads import ProjectedHead, TwoLayerHead
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.weights.registry import list_weights

WIDTH, LAYERS, HEADS, HIDDEN, KERNEL, GROUPS = 16, 2, 4, 24, 6, 4
SMALL = {
    "hidden_size": WIDTH, "layers": LAYERS, "heads": HEADS, "intermediate_size": HIDDEN,
    "conv_pos_kernel": KERNEL, "conv_pos_groups": GROUPS,
}  # fmt: skip
MODEL = {"_name": "av_hubert", "encoder_attention_heads": HEADS, "audio_feat_dim": 104, "modality_fuse": "concat"}
MODEL |= {"layer_norm_first": True, "dropout": 0.1, "dropout_input": 0.2, "activation_fn": "gelu"}
TASK = {"_name": "av_hubert_pretraining", "normalize": True, "stack_order_audio": 4}


def make_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [(3000 * torch.randn(length, generator=generator)).round() / 32768 for length in lengths]


def make_state(prefix: str = "", seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights with the names and shapes of the authors' model, the video's and those of pre-training among them."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "mask_emb": (104,),
        "label_embs_concat": (50, 8),
        "feature_extractor_audio.proj.weight": (WIDTH, 104),
        "feature_extractor_audio.proj.bias": (WIDTH,),
        "feature_extractor_video.resnet.frontend3D.0.weight": (4, 1, 5, 7, 7),
        "feature_extractor_video.proj.weight": (WIDTH, 8),
        "feature_extractor_video.proj.bias": (WIDTH,),
        "post_extract_proj.weight": (WIDTH, 2 * WIDTH),
        "post_extract_proj.bias": (WIDTH,),
        "layer_norm.weight": (2 * WIDTH,),
        "layer_norm.bias": (2 * WIDTH,),
        "final_proj.weight": (8, WIDTH),
        "final_proj.bias": (8,),
        "encoder.pos_conv.0.bias": (WIDTH,),
        "encoder.pos_conv.0.weight_g": (1, 1, KERNEL),
        "encoder.pos_conv.0.weight_v": (WIDTH, WIDTH // GROUPS, KERNEL),
        "encoder.layer_norm.weight": (WIDTH,),
        "encoder.layer_norm.bias": (WIDTH,),
    }
    for n in range(LAYERS):
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= {f"encoder.layers.{n}.self_attn.{part}.weight": (WIDTH, WIDTH)}
            shapes |= {f"encoder.layers.{n}.self_attn.{part}.bias": (WIDTH,)}
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"encoder.layers.{n}.{norm}.{kind}": (WIDTH,) for kind in ("weight", "bias")}
        shapes |= {f"encoder.layers.{n}.fc1.weight": (HIDDEN, WIDTH), f"encoder.layers.{n}.fc1.bias": (HIDDEN,)}
        shapes |= {f"encoder.layers.{n}.fc2.weight": (WIDTH, HIDDEN), f"encoder.layers.{n}.fc2.bias": (WIDTH,)}
    return {f"{prefix}{name}": 0.3 * torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


def write(file: Path, state: dict[str, torch.Tensor], **entries) -> Path:
    content = {"args": None, "cfg": {"model": MODEL, "task": TASK, "common": {"seed": 1337}}, "model": state}
    content |= {"criterion": None, "extra_state": {"epoch": 1}, "last_optimizer_state": {"state": {0: torch.zeros(3)}}}
    torch.save(content | entries, file)
    return file


def layer_norm(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attend(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    query, key, value = (
        linear(x, weights, f"{name}.{part}_proj").reshape(len(x), HEADS, -1).transpose(0, 1) for part in "qkv"
    )
    scores = (query / math.sqrt(WIDTH // HEADS)) @ key.transpose(1, 2)
    mixed = (scores.exp() / scores.exp().sum(-1, keepdim=True)) @ value
    return linear(mixed.transpose(0, 1).reshape(len(x), WIDTH), weights, f"{name}.out_proj")


def run_as_fairseq(weights: dict[str, torch.Tensor], frames: torch.Tensor, norm_first: bool) -> torch.Tensor:
    """(n, 104) -> (n, width) by the formulas of `AVHubertModel.extract_finetune` and fairseq's `TransformerEncoder`."""
    audio = linear(frames, weights, "feature_extractor_audio.proj")
    x = linear(layer_norm(torch.cat([audio, 0 * audio], 1), weights, "layer_norm"), weights, "post_extract_proj")
    direction = weights["encoder.pos_conv.0.weight_v"]
    # weight_norm over dim 2: one length for every position of the kernel
    kernel = weights["encoder.pos_conv.0.weight_g"] * direction / direction.square().sum((0, 1), keepdim=True).sqrt()
    positions = functional.conv1d(
        x.T[None], kernel, weights["encoder.pos_conv.0.bias"], padding=KERNEL // 2, groups=GROUPS
    )
    x = x + gelu(positions[0, :, :-1].T)
    x = x if norm_first else layer_norm(x, weights, "encoder.layer_norm")
    for n in range(LAYERS):
        name = f"encoder.layers.{n}"

        def feed(y: torch.Tensor, name: str = name) -> torch.Tensor:
            return linear(gelu(linear(y, weights, f"{name}.fc1")), weights, f"{name}.fc2")

        if norm_first:
            x = x + attend(layer_norm(x, weights, f"{name}.self_attn_layer_norm"), weights, f"{name}.self_attn")
            x = x + feed(layer_norm(x, weights, f"{name}.final_layer_norm"))
        else:
            x = layer_norm(x + attend(x, weights, f"{name}.self_attn"), weights, f"{name}.self_attn_layer_norm")
            x = layer_norm(x + feed(x), weights, f"{name}.final_layer_norm")
    return layer_norm(x, weights, "encoder.layer_norm") if norm_first else x


# --- front end --------------------------------------------------------------------------------------


def compute_filter_bank(samples: np.ndarray) -> np.ndarray:
    """The filter bank by its definition, window by window and band by band, with a discrete Fourier transform by hand."""
    emphasised = [samples[0], *(now - 0.97 * before for before, now in pairwise(samples))]
    n_windows = 1 if len(samples) <= 400 else 1 + math.ceil((len(samples) - 400) / 160)
    emphasised += [0.0] * ((n_windows - 1) * 160 + 400 - len(samples))
    top = 2595 * math.log10(1 + 8000 / 700)
    edges = [math.floor(513 * 700 * (10 ** (top * i / 27 / 2595) - 1) / 16000) for i in range(28)]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    rows = []
    for n in range(n_windows):
        power = np.abs(np.array(emphasised[160 * n : 160 * n + 400]) @ turns) ** 2 / 512
        bands = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            rising = sum(power[i] * (i - low) / (middle - low) for i in range(low, middle))
            falling = sum(power[i] * (high - i) / (high - middle) for i in range(middle, high))
            bands.append(math.log(rising + falling or np.finfo(float).eps))
        rows.append(bands)
    return np.array(rows)


@pytest.mark.parametrize("n_samples", [1, 400, 401, 560, 561, 3000])
def test_filter_bank_is_that_of_python_speech_features(n_samples: int) -> None:
    (clip,) = make_clips(n_samples)
    expected = compute_filter_bank(clip.double().numpy() * 32768)
    found = log_filter_bank(clip)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-4)


def test_filter_bank_of_a_tone_has_the_values_of_the_library() -> None:
    """Of python_speech_features 0.6: `logfbank` of 0.1 s of int16 samples of 10000 sin(2 pi 1000 t)."""
    tone = np.round(10000 * np.sin(2 * np.pi * 1000 * np.arange(1600) / 16000)).astype(np.int16)
    found = log_filter_bank(torch.from_numpy(tone.astype(np.float32) / 32768))
    assert found.shape == (9, 26)
    np.testing.assert_allclose(found[4, [0, 8, 9, 25]], [12.42357042, 20.1798631, 20.57881791, 12.5795099], rtol=1e-6)


def test_silence_is_the_smallest_number_and_not_minus_infinity() -> None:
    assert torch.equal(log_filter_bank(torch.zeros(800)), torch.full((4, 26), math.log(np.finfo(float).eps)))
    assert log_filter_bank(torch.zeros(0)).shape == (1, 26)


def test_four_neighbours_make_a_frame_and_the_last_is_filled_up_with_zeros() -> None:
    features = torch.arange(12.0).reshape(6, 2)
    assert stack_frames(features).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 0, 0, 0, 0]]
    assert torch.equal(stack_frames(features[:4]), features[:4].reshape(1, 8))


def test_frames_are_counted_padded_and_normalised_one_by_one() -> None:
    backbone, lengths = (
        load_backbone(Config(architecture="av_hubert", untrained=SMALL), Path("nowhere")),
        (1, 400, 880, 881, 16_000),
    )
    frames, counts = backbone.encode_cnn(make_clips(*lengths))
    assert counts.tolist() == [backbone.count_frames(length) for length in lengths] == [1, 1, 1, 2, 25]
    assert frames.shape == (5, 25, backbone.cnn_dimension) == (5, 25, 104)
    assert frames[3, 2:].eq(0).all()
    assert not frames.requires_grad
    torch.testing.assert_close(frames[4].mean(-1), torch.zeros(25), atol=1e-5, rtol=0)
    torch.testing.assert_close(frames[4].square().mean(-1), torch.ones(25), atol=1e-3, rtol=0)


def test_short_clips_are_lengthened_before_the_filter_banks() -> None:
    plain, (clip,) = load_backbone(Config(architecture="av_hubert", untrained=SMALL), Path("nowhere")), make_clips(3000)
    untrained = {"architecture": "av_hubert", "untrained": SMALL}
    backbone = load_backbone(Config(**untrained, pad={"seconds": 0.5, "mode": "repeat"}), Path("nowhere"))
    frames, counts = backbone.encode_cnn([clip])
    expected, by_hand = plain.encode_cnn([torch.from_numpy(np.resize(clip.numpy(), 8000))])
    assert counts.tolist() == by_hand.tolist() == [backbone.count_frames(3000)]
    assert torch.equal(frames, expected)


# --- checkpoints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [True, False])
def test_checkpoint_computes_what_fairseq_does(norm_first: bool, tmp_path: Path) -> None:
    state = make_state()
    cfg = {"model": MODEL | {"layer_norm_first": norm_first}, "task": TASK}
    backbone = load_checkpoint(write(tmp_path / "a.pt", state, cfg=cfg), origin="a").eval()
    (clip,) = make_clips(5000)
    frames = stack_frames(log_filter_bank(clip))
    expected = run_as_fairseq(state, functional.layer_norm(frames, (104,)), norm_first)
    with torch.no_grad():
        found = backbone.encode(*backbone.encode_cnn([clip]))[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(backbone([clip])[0], expected.mean(0), atol=1e-5, rtol=1e-4)
    assert expected.std() > 0.1
    assert backbone.width == WIDTH
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_without_normalisation_the_filter_banks_go_in_as_they_are(tmp_path: Path) -> None:
    cfg = {"model": MODEL, "task": TASK | {"normalize": False}}
    backbone = load_checkpoint(write(tmp_path / "a.pt", make_state(), cfg=cfg), origin="a")
    (clip,) = make_clips(2000)
    assert torch.equal(backbone.encode_cnn([clip])[0][0], stack_frames(log_filter_bank(clip)))


@pytest.mark.parametrize("prefix", ["encoder.w2v_model.", "w2v_encoder.w2v_model."])
def test_fine_tuned_checkpoint_gives_the_same_branch(prefix: str, tmp_path: Path) -> None:
    pretrained = load_checkpoint(write(tmp_path / "a.pt", make_state()), origin="a").eval()
    rest = {"decoder.embed_tokens.weight": torch.zeros(9, 4), f"{prefix.split('.')[0]}.proj.weight": torch.zeros(2, 2)}
    state = {name.replace(prefix + "final_proj", "x"): value for name, value in make_state(prefix).items()} | rest
    outer = {"model": {"_name": "av_hubert_seq2seq", "w2v_args": {"model": MODEL, "task": TASK}}, "task": TASK}
    tuned = load_checkpoint(write(tmp_path / "b.pt", state, cfg=outer), origin="b").eval()
    with torch.no_grad():
        assert torch.equal(tuned(make_clips(3000)), pretrained(make_clips(3000)))


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in make_state().items()}
    backbone = load_checkpoint(write(tmp_path / "a.pt", state), origin="a")
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def define(monkeypatch: pytest.MonkeyPatch, module: str, **classes: type) -> None:
    """A module that is there when a file is written, and gone when it is read."""
    parents = module.split(".")
    for name in (".".join(parents[:n]) for n in range(1, len(parents) + 1)):
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name, cls in classes.items():
        cls.__module__, cls.__qualname__, cls.__name__ = module, name, name
        setattr(sys.modules[module], name, cls)


def test_objects_of_fairseq_and_omegaconf_are_read_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dictionary:
        def __init__(self) -> None:
            self.symbols = ["<s>"]

    class Node:
        def __init__(self, value, parent=None) -> None:
            self._val, self._parent = value, parent

    class DictConfig:
        def __init__(self, content) -> None:
            self._content = {key: wrap(value, self) for key, value in content.items()}
            self._metadata = {"ref_type": dict, "key_type": str}

    def wrap(value, parent):
        return DictConfig(value) if isinstance(value, dict) else Node(value, parent)

    with monkeypatch.context() as there:
        define(there, "fairseq.data.dictionary", Dictionary=Dictionary)
        define(there, "omegaconf.nodes", AnyNode=Node)
        define(there, "omegaconf.dictconfig", DictConfig=DictConfig)
        cfg = DictConfig({"model": MODEL, "task": TASK})
        file = write(tmp_path / "a.pt", make_state(), cfg=cfg, task_state={"dictionaries": [Dictionary()]})
    plain = load_checkpoint(write(tmp_path / "b.pt", make_state()), origin="b")
    loaded = load_checkpoint(file, origin="a")
    assert loaded.model.config.to_dict() == plain.model.config.to_dict()
    assert loaded.model.config.feat_proj_dropout == 0.2
    assert loaded.model.config.num_conv_pos_embedding_groups == GROUPS


def test_options_of_older_files_stand_in_a_namespace(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pt", make_state(), cfg=None, args=argparse.Namespace(**MODEL | TASK))
    assert load_checkpoint(file, origin="a").model.config.num_attention_heads == HEADS


class Harm:
    """Unpickled, it would make a folder."""

    def __init__(self, function, argument) -> None:
        self.function, self.argument = function, argument

    def __reduce__(self):
        return self.function, (self.argument,)


@pytest.mark.parametrize(("function", "refused"), [(os.mkdir, True), (Path.mkdir, True), (eval, False)])
def test_nothing_of_a_file_is_run(function, refused: bool, tmp_path: Path) -> None:
    place = tmp_path / "made"
    argument = place if function is Path.mkdir else str(place)
    harm = Harm(function, f"__import__('os').mkdir({str(place)!r})" if function is eval else argument)
    file = write(tmp_path / "a.pt", make_state(), task_state=harm)
    if refused:
        with pytest.raises(ModelError, match=r"cannot be read as a checkpoint of fairseq .* nothing in it was run"):
            load_checkpoint(file, origin="a")
    else:
        assert load_checkpoint(file, origin="a").trained
    assert not place.exists()
    pickle.loads(pickle.dumps(harm))
    assert place.exists(), "the ordinary way does run it"


def test_missing_unknown_and_other_weights_are_named(tmp_path: Path) -> None:
    state = make_state()
    del state["post_extract_proj.bias"]
    state["encoder.layers.0.adapter.weight"] = torch.zeros(2)
    state["layer_norm.weight"] = torch.zeros(3)
    with pytest.raises(ModelError) as caught:
        load_checkpoint(write(tmp_path / "a.pt", state), origin="mine")
    message = str(caught.value)
    assert message.startswith("mine is not the audio branch of an AV-HuBERT")
    assert "lacks 1 weight(s): feature_projection.projection.bias" in message
    assert "has unknown 1 weight(s): encoder.layers.0.adapter.weight" in message
    assert "has other shapes of 1 weight(s): feature_projection.layer_norm.weight" in message


def test_other_files_are_refused(tmp_path: Path) -> None:
    def load(name: str, state: dict | None = None, **entries) -> None:
        load_checkpoint(write(tmp_path / name, make_state() if state is None else state, **entries), origin=name)

    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(ModelError, match="cannot be read as a checkpoint of fairseq"):
        load_checkpoint(tmp_path / "text.pt", origin="text")
    with pytest.raises(ModelError, match="no state dictionary named `model`"):
        load("a.pt", model=None)
    with pytest.raises(ModelError, match="does not say encoder_attention_heads and layer_norm_first and normalize"):
        load("b.pt", cfg={"model": {"_name": "hubert"}, "task": {}})
    with pytest.raises(
        ModelError, match=r"of another build, with modality_fuse add \(read is concat\), stack_order_audio 1"
    ):
        load("c.pt", cfg={"model": MODEL | {"modality_fuse": "add"}, "task": TASK | {"stack_order_audio": 1}})
    with pytest.raises(ModelError, match=r"it lacks encoder\.pos_conv_embed"):
        load("d.pt", state={"some.weight": torch.zeros(2)})
    with pytest.raises(ModelError, match="or has 5 heads"):
        load("e.pt", cfg={"model": MODEL | {"encoder_attention_heads": 5}, "task": TASK})


# --- backbone ---------------------------------------------------------------------------------------


def build(**options) -> SpeechBackbone:
    config = Config.model_validate({"architecture": "av_hubert", "untrained": SMALL, **options})
    backbone = load_backbone(config, Path("nowhere"))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5)
    return backbone


@pytest.mark.parametrize("options", [{}, {"layers": "weighted"}, {"lora": {"rank": 2}}])
def test_embedding_is_the_same_alone_and_in_a_padded_batch(options: dict) -> None:
    backbone, clips = build(**options).eval(), make_clips(3000, 16_000, 9001)
    with torch.no_grad():
        together, alone = backbone(clips), torch.cat([backbone([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_cached_frames_train_the_same_way_as_audio() -> None:
    backbone = build().eval()
    (clip,) = make_clips(8000)
    samples = (clip * 32768).numpy().astype("<i2").tobytes()
    (row,) = FrontEndExtractor(backbone, {"audio": AUDIO}).extract([{"utterance_id": "u", "audio": samples}])
    frames = torch.frombuffer(bytearray(row["frontend"]), dtype=torch.float16).reshape(
        1, row["n_frames"], row["dimension"]
    )
    lengths = torch.tensor([row["n_frames"]])
    embedding = backbone.pool(backbone.encode(frames.float(), lengths), lengths)
    torch.testing.assert_close(embedding, backbone([clip]), atol=5e-3, rtol=0)
    embedding.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_spans_of_time_are_masked_in_training() -> None:
    backbone = build(spec_augment={"time_share": 0.5, "time_frames": 4}).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    (clip,) = make_clips(16_000)
    with torch.no_grad():
        plain, masked = backbone([clip]), backbone([clip], draws=[(0, 1)])
    assert (plain - masked).abs().max() > 1e-3


def test_the_front_end_cannot_be_trained_or_shaped() -> None:
    config = Config.model_validate({"architecture": "av_hubert", "untrained": SMALL})
    assert (config.cnn_mode, config.trains_cnn("stage2", "original")) == ("frozen", False)
    assert config.list_kept("stage1", "original")["audio"] == ("frontend", "own", None)
    for options in ({"cnn": "both"}, {"untrained": SMALL | {"conv_dim": (8,)}}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Config.model_validate({"architecture": "av_hubert", "untrained": SMALL, **options})


@pytest.mark.parametrize("options", [{}, {"layers": "weighted"}, {"lora": {"rank": 2}}])
def test_saved_folder_comes_back(options: dict, tmp_path: Path) -> None:
    backbone, clips = build(**options).eval(), make_clips(3000, 5000)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "lora_B" in name or name == "layer_weights":
                parameter.normal_()
        backbone.save(tmp_path / "saved", {"title": "mine"})
        config = Config.model_validate({"architecture": "av_hubert", "untrained": SMALL, **options})
        again = load_backbone(config, tmp_path, tmp_path / "saved").eval()
        torch.testing.assert_close(again(clips), backbone(clips), atol=1e-5, rtol=0)
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "computed by emoadapt only" in card
    assert "AutoModel" not in card
    assert "Meta Platforms" not in card, "random weights are nobody's"
    with pytest.raises(ModelError, match="is an av_hubert model, the configuration says hubert"):
        load_folder(tmp_path / "saved", "hubert", origin="saved", trained=True)
    (tmp_path / "saved" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_folder(tmp_path / "saved", origin="saved", trained=True)


@pytest.mark.parametrize("head", [ProjectedHead(WIDTH, 8, 3, seed=1), TwoLayerHead(WIDTH, 8, 3, seed=1)])
def test_classifier_predicts_from_its_folder_and_is_not_exported(head, tmp_path: Path) -> None:
    from scipy.io import wavfile

    classifier = EmotionClassifier(build().eval(), head, ("a", "b", "c")).eval()
    classifier.save(tmp_path / "saved", {})
    (clip,) = make_clips(8000)
    wavfile.write(tmp_path / "clip.wav", 16_000, (clip * 32768).numpy().astype(np.int16))
    again = load_classifier(tmp_path / "saved")
    (row,) = predict_files(again, [tmp_path / "clip.wav"])
    with torch.no_grad():
        expected = classifier([clip]).softmax(1)[0]
    np.testing.assert_allclose([row.probabilities[name] for name in "abc"], expected, atol=1e-5)
    with pytest.raises(ModelError, match="cannot be exported to ONNX"):
        export_onnx(again, tmp_path / "model.onnx")


def test_published_checkpoints_are_registered_with_their_licence(tmp_path: Path) -> None:
    name = "av_hubert/base_vox_iter5"
    entry = list_weights()[name]
    assert "non-commercial" in entry.licence
    place = tmp_path / entry.place
    place.parent.mkdir()
    write(place, make_state())
    backbone = load_backbone(Config(architecture="av_hubert", weights=name), tmp_path)
    assert backbone.trained
    backbone.save(tmp_path / "saved", {})
    card = (tmp_path / "saved" / "README.md").read_text()
    assert f"Licence of `{name}`: AV-HuBERT license agreement (non-commercial research only" in card
    assert "Copyright (c) Meta Platforms, Inc. All Rights Reserved." in card
    assert "base_model" not in card
