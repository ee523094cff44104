"""Backbones that join several: what they read, and how an absent part is replaced."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emoadapt.backbones.base import list_modules, load_backbone, load_folder
from emoadapt.config import Study, load_study
from emoadapt.data.batching import Batch, collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import STATES
from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.command import run_predict
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.fusion import FusionBackbone
from emoadapt.layers.heads import build_head
from emoadapt.study.check.augmentations import list_frozen_notes
from emoadapt.study.graph import Graph
from emoadapt.study.nodes import Model, Setting

AUDIO = {
    "conv_dim": [8, 8], "conv_kernel": [20, 16], "conv_stride": [20, 8], "hidden_size": 16, "layers": 2, "heads": 2,
    "intermediate_size": 16, "conv_pos_kernel": 4, "conv_pos_groups": 4,
}  # fmt: skip
TEXT = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 50, "positions": 16}


def make_values(**joint: Any) -> dict[str, Any]:
    return {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {
            "speech": {"architecture": "hubert", "untrained": dict(AUDIO), "cnn": "frozen"},
            "words": {"architecture": "bert", "untrained": dict(TEXT), "embedding": 7},
            "joint": {
                "architecture": "fusion", "of": {"audio": "speech", "text": "words"}, "embedding": 5,
                "pooling": {"name": "gru", "hidden": 6, "layers": 1}, **joint,
            },
        },
        "tasks": {"t": {"corpus": "c", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}},
    }  # fmt: skip


def make_study(**joint: Any) -> Study:
    return load_study(make_values(**joint))


def make_fusion(study: Study | None = None) -> FusionBackbone:
    return load_backbone((study or make_study()).backbones["joint"], Path("nowhere")).eval()


def make_batch(study: Study, *clips: tuple[int, list[int] | None]) -> Batch:
    """Clips of so many samples, with these tokens or none."""
    generator, found = torch.Generator().manual_seed(0), []
    for number, (n_samples, tokens) in enumerate(clips):
        streams = {
            "audio.audio": 0.1 * torch.randn(n_samples, generator=generator),
            "text.tokens": torch.tensor(tokens or [0]),
        }
        absent = frozenset() if tokens else frozenset(["text.tokens"])
        found.append(Clip(f"c/{number}", streams, absent=absent))
    return collate_clips(found, study.backbones["joint"].streams)


def test_pooled_parts_are_joined_by_a_linear_layer() -> None:
    study = make_study()
    fusion, batch = make_fusion(study), make_batch(study, (4000, [1, 2, 3]), (6000, [4]))
    audio, text = fusion.parts
    with torch.no_grad():
        pooled = torch.cat([audio.embed(batch.narrow("audio")), text.embed(batch.narrow("text"))], dim=1)
        assert pooled.shape == (2, 12), "a part's own embedding is not used"
        expected = pooled @ fusion.joint.weight.T + fusion.joint.bias
        assert torch.allclose(fusion.embed(batch), expected, atol=1e-6)
    assert fusion.width == 5 and make_fusion(make_study(embedding=None)).width == 12
    assert [part.pooling.name for part in make_fusion(make_study(pooling=None)).parts] == ["mean", "mean"]


def test_a_clip_is_embedded_alone_as_in_a_padded_batch() -> None:
    study = make_study()
    fusion, clips = make_fusion(study), [(4000, [1, 2, 3]), (6000, [4]), (5000, None)]
    with torch.no_grad():
        together = fusion.embed(make_batch(study, *clips))
        for place in range(3):
            batch = make_batch(study, *clips)
            chosen = Batch(
                [batch.utterance_ids[place]],
                {
                    "audio.audio": [batch.streams["audio.audio"][place]],
                    "text.tokens": batch.streams["text.tokens"][
                        place : place + 1, : batch.lengths["text.tokens"][place]
                    ],
                },
                {"text.tokens": batch.lengths["text.tokens"][place : place + 1]},
                {},
                present={"text.tokens": batch.present["text.tokens"][place : place + 1]},
            )
            torch.testing.assert_close(fusion.embed(chosen)[0], together[place], atol=1e-5, rtol=0)


def test_a_learned_vector_stands_for_an_absent_text() -> None:
    study = make_study()
    fusion = make_fusion(study)
    with torch.no_grad():
        fusion.absent[0].fill_(0.5)
        found = fusion.embed(make_batch(study, (4000, None)))
        audio = fusion.parts[0].embed(make_batch(study, (4000, None)).narrow("audio"))
        expected = fusion.joint(torch.cat([audio, torch.full((1, 6), 0.5)], dim=1))
        assert torch.allclose(found, expected, atol=1e-6)
    fusion.embed(make_batch(study, (4000, None), (4000, [1]))).sum().backward()
    assert fusion.absent[0].grad.abs().sum() > 0, "it is learned"
    fusion.zero_grad()
    fusion.embed(make_batch(study, (4000, [2]), (4000, [1]))).sum().backward()
    assert fusion.absent[0].grad.abs().sum() == 0, "from clips without text alone"


def test_a_fusion_is_saved_with_its_parts_and_comes_back(tmp_path: Path) -> None:
    study = make_study()
    fusion, batch = make_fusion(study), make_batch(study, (4000, [1, 2, 3]), (6000, None))
    with torch.no_grad():
        fusion.absent[0].fill_(0.5)
        classifier = EmotionClassifier(fusion, build_head("mlp", fusion.width, None, 2, 0), ["a", "b"]).eval()
        classifier.save(tmp_path / "m", {"title": "joint"})
        again = load_classifier(tmp_path / "m")
        assert torch.equal(again.head(again.backbone.embed(batch)), classifier.head(fusion.embed(batch)))
        part = load_folder(tmp_path / "m/audio", origin="part", trained=True).eval()
        assert torch.equal(part.embed(batch.narrow("audio")), fusion.parts[0].embed(batch.narrow("audio")))
    card = (tmp_path / "m/README.md").read_text()
    assert "Each part pools its own input" in card and "predict FOLDER" in card
    with pytest.raises(
        ModelError, match=r"the model reads audio and text, not audio alone, and its folder has no features\.json"
    ):
        run_predict(tmp_path / "m", [tmp_path / "x.wav"], None)
    with pytest.raises(
        ModelError, match="reads audio and text, and only one that reads audio alone can be exported to ONNX"
    ):
        export_onnx(again, tmp_path / "m.onnx")
    (tmp_path / "m/contents.json").unlink()
    (tmp_path / "m/fusion.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read"):
        load_folder(tmp_path / "m", origin="m", trained=True)


def test_what_decides_a_part_decides_the_fusion() -> None:
    values, study = make_values(), make_study()
    joint = study.backbones["joint"]
    values["backbones"]["words"]["train_layers"] = 1
    assert load_study(values).backbones["joint"].describe() != joint.describe()
    values["backbones"]["words"] |= {"train_layers": "all", "embedding": 9, "subsets": ["full"]}
    assert load_study(values).backbones["joint"].describe() == joint.describe(), "neither is used in it"
    values["backbones"]["words"] |= {"pooling": "last"}
    assert load_study(values).backbones["joint"].describe() == joint.describe(), "the fusion's pooling is used"
    assert joint.provenance == "untrained"
    assert list_modules(joint, Path("models")) == [
        "emoadapt.backbones.fusion", "emoadapt.backbones.speech_transformer", "emoadapt.poolings.gru",
        "emoadapt.backbones.text_transformer",
    ]  # fmt: skip
    values["backbones"]["words"] = {"architecture": "bert", "weights": "minilm"}
    assert load_study(values).backbones["joint"].list_weights() == [("minilm", None)]
    again = pickle.loads(pickle.dumps(study)).backbones["joint"]
    assert json.loads(again.describe()) == json.loads(joint.describe())


def test_parts_are_trained_alone_only_where_they_are_named() -> None:
    values = make_values()
    assert [str(model) for model in load_study(values).list_models()] == ["joint.original"]
    values["finetunings"] = {
        "default": {},
        "alone": {"backbones": ["speech"]},
        "probe": {"method": "probe", "backbones": ["words"]},
    }
    values["adaptations"] = {"one": {"corpora": ["c"], "objectives": {"egemaps": 1.0}, "backbones": None}}
    names = [str(model) for model in load_study(values).list_models()]
    assert set(names) == {
        "joint.original", "speech.original.alone", "speech.one.alone", "words.original.probe", "words.one.probe"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"of": {"audio": "speech", "text": "wrds"}},
            "backbones.joint.of.text: wrds is not defined; did you mean words?",
        ),
        ({"of": {"audio": "speech", "text": "joint"}}, "backbones.joint.of.text: joint joins backbones itself"),
        ({"pooling": "meen"}, "pooling meen is not known; did you mean mean"),
    ],
)
def test_parts_that_cannot_be_joined_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_study(**change)


@pytest.mark.parametrize(
    ("key", "section", "said"),
    [
        (
            "adaptations",
            {"corpora": ["c"], "objectives": {"egemaps": 1.0}, "backbones": ["joint"]},
            "joint joins speech, words, and Stage 1",
        ),
        (
            "finetunings",
            {"method": "svm", "backbones": ["joint"]},
            "joint joins speech, words, whose layers are read with learned weights alone; set method: probe, layer: weighted",
        ),
    ],
)
def test_methods_for_one_backbone_refuse_a_fusion(key: str, section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_study(make_values() | {key: {"x": section}})


def describe_probe(change: Callable[[dict[str, Any]], None] = lambda _: None) -> tuple[list[str], dict[str, str]]:
    """What a probe of the fusion reads, and the settings that decide it."""
    values = make_values()
    values["finetunings"] = {"probe": {"method": "probe", "backbones": ["joint"]}, "default": {"backbones": ["joint"]}}
    change(values["backbones"])
    graph, setting = Graph(load_study(values)), Setting("t", Model("joint", "original", "probe"), "full")
    return graph.read_features(setting), graph.training_state(setting)


def test_a_probe_of_a_fusion_reads_the_layers_of_its_parts() -> None:
    read, state = describe_probe()
    assert read == ["layers.speech", "layers.words"]

    def train_otherwise(backbones: dict[str, Any]) -> None:
        backbones["words"] |= {"train_layers": 0, "embedding": 3}
        backbones["joint"] |= {"embedding": None, "pooling": "mean"}

    assert describe_probe(train_otherwise) == (read, state), "no layer of a frozen part depends on them"

    def exchange(backbones: dict[str, Any]) -> None:
        backbones["joint"]["of"] = {"text": "words", "audio": "speech"}

    assert describe_probe(exchange)[1] != state, "a clip must have the first part"

    def draw(backbones: dict[str, Any]) -> None:
        backbones["words"]["untrained"]["seed"] = 1

    assert describe_probe(draw)[1] != state

    def describe(backbones: dict[str, Any]) -> None:
        backbones["loud"] = {"architecture": "vector", "reads": "egemaps"}
        backbones["joint"]["of"] = {"audio": "loud", "text": "words"}

    with pytest.raises(ConfigError, match="joint joins a vector of descriptors, and finetune trains encoders"):
        describe_probe(describe)


def test_care_is_a_part_as_another_encoder_is() -> None:
    values = make_values()
    care = {"architecture": "care", "speech": "speech", "text": "words", "common": 1, "branch": 1}
    values["backbones"]["joint"]["of"] = {"audio": "care", "text": "words"}
    values["backbones"] = {"joint": values["backbones"].pop("joint"), "care": care, **values["backbones"]}
    study = load_study(values)
    assert study.list_kept("stage2", "joint", "original") == {"audio.audio": "frontend.speech"}
    fusion, batch = make_fusion(study), make_batch(study, (4000, [1, 2, 3]), (6000, [4]))
    with torch.no_grad():
        pooled = torch.cat(
            [part.embed(batch.narrow(name)) for name, part in zip(fusion.names, fusion.parts, strict=True)], dim=1
        )
        torch.testing.assert_close(fusion.embed(batch), fusion.joint(pooled))


def test_frozen_parts_read_kept_states() -> None:
    values = make_values()
    for name in ("speech", "words"):
        values["backbones"][name]["train_layers"] = 0
    study = load_study(values)
    assert study.list_kept("stage2", "joint", "original") == {
        "audio.audio": "states.speech",
        "text.tokens": "states.words",
    }
    (setting,) = study.list_settings()
    graph = Graph(study)
    assert graph.read_features(setting) == ["audio", "states.speech", "states.words"]
    assert "results/features/states.words/c/000.parquet" in graph.all_features()
    values["backbones"]["words"]["train_layers"] = 1
    assert Graph(load_study(values)).read_features(setting) == ["audio", "states.speech", "text_tokens"]


def test_states_of_whole_clips_are_not_read_where_clips_are_cropped() -> None:
    """Symptom: frames of a crop had seen the rest of the clip, in training and test, but not in a prediction."""
    values = make_values()
    for name in ("speech", "words"):
        values["backbones"][name]["train_layers"] = 0
    values["finetunings"] = {"default": {"max_seconds": 3.0}}
    graph = Graph(load_study(values))
    (setting,) = graph.study.list_settings()
    assert graph.read_features(setting) == ["audio", "states.words"], "no text is cropped"
    assert list_frozen_notes(graph) == [
        "finetunings.default.max_seconds: states of a whole clip are not those of a crop, so what is frozen of joint runs for each "
        "batch, and not once for each clip"
    ]


def test_kept_states_give_the_embedding_of_what_they_were_made_of() -> None:
    values = make_values()
    for name in ("speech", "words"):
        values["backbones"][name]["train_layers"] = 0
    study = load_study(values)
    fusion, batch = make_fusion(study).train(), make_batch(study, (4000, [1, 2, 3]), (6000, [4]))
    clips = []
    with torch.no_grad():
        for place in range(2):
            found = {}
            for name, part in zip(fusion.names, fusion.parts, strict=True):
                frames, lengths = part.run_front_end(batch.narrow(name))
                found[f"{name}.states"] = part.encode(frames, lengths)[place, : lengths[place]].half()
            clips.append(Clip(str(place), found))
        kept = collate_clips(clips, {"audio.states": STATES, "text.states": STATES})
        torch.testing.assert_close(fusion.embed(kept), fusion.embed(batch), atol=2e-3, rtol=0)
    assert not any(p.requires_grad for part in fusion.parts for p in part.model.encoder.parameters())
    assert not any(part.model.training for part in fusion.parts) and fusion.training


def test_kept_frames_of_audio_have_a_step_and_those_of_text_none() -> None:
    fusion = make_fusion()
    assert fusion.find_step("audio.audio") == pytest.approx(20 * 8 / 16_000)
    assert fusion.find_step("text.tokens") is None
    assert fusion.count_frames(16_000) == fusion.parts[0].count_frames(16_000)
    assert fusion.parts[1].count_frames(16_000) is None, "a text is not cropped"


def test_stage_1_refuses_a_frozen_backbone_unless_it_trains_layers_itself() -> None:
    values = make_values()
    values["backbones"] = {"speech": values["backbones"]["speech"] | {"train_layers": 0}}
    values["adaptations"] = {"one": {"corpora": ["c"], "objectives": {"egemaps": 1.0}}}
    with pytest.raises(
        ConfigError,
        match=r"adaptations\.one: backbone speech has train_layers: 0, so that Stage 1 would change nothing",
    ):
        load_study(values)
    values["adaptations"]["one"]["train_layers"] = 1
    study = load_study(values)
    assert study.list_kept("stage1", "speech", "one") == {"audio": "frontend.speech"}
    assert study.list_kept("stage2", "speech", "one") == {"audio": "states.speech.one"}
    values["backbones"]["speech"]["spec_augment"] = {}
    assert load_study(values).list_kept("stage2", "speech", "one") == {"audio": "frontend.speech"}, (
        "masks differ by epoch"
    )
