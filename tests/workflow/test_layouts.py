"""Weights in the layouts of the hub, with few parameters: see `benchmarks/layouts.py`, which does the same at full size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import layouts
import pytest
import torch
from layouts import SPEECH, TEXT, Layout, load_layout, read_inputs, write_layout

from emoadapt.backbones.base import list_notes, load_folder
from emoadapt.errors import ModelError

BY_NAME = {layout.name: layout for layout in (*SPEECH, *TEXT)}
EXPORTED = "microsoft/wavlm-large"
"""A CNN without biases and with layer norm, and layer norm before the attention; others are exported in tests of the export."""


def write(name: str, folder: Path, **changes: Any) -> Path:
    """A small model in the layout of a repository."""
    write_layout(replace(BY_NAME[name].shrink(), **changes), folder / "model", [])
    return folder / "model"


@pytest.mark.parametrize("name", BY_NAME)
def test_a_repository_is_loaded_as_it_is(name: str, tmp_path: Path) -> None:
    layout = BY_NAME[name].shrink()
    inputs = read_inputs(layout)
    expected = write_layout(layout, tmp_path / "model", inputs)
    assert (expected[0] - expected[1]).abs().max() > 1e-3, "a model that says the same of all inputs shows nothing"
    row = load_layout(layout, tmp_path, "model", inputs, expected, export=name == EXPORTED)
    assert row["difference"] < 1e-3
    assert row.get("saved", 0) < 1e-4 and row.get("onnx", 0) < 1e-3
    assert row.get("normalise", layout.normalise) == layout.normalise


def load(folder: Path, **values: Any) -> Any:
    return load_folder(folder, **{"origin": "some/model", "trained": True} | values)


def test_the_head_of_a_pretraining_is_named_as_not_used(tmp_path: Path) -> None:
    backbone = load(write("facebook/wav2vec2-base", tmp_path))
    sentence = "Not used of the weights: project_hid, project_q, quantizer."
    assert backbone.notes == [sentence]
    backbone.save(tmp_path / "saved", {})
    assert sentence in (tmp_path / "saved/README.md").read_text()
    assert load(tmp_path / "saved").notes == []


@pytest.mark.parametrize(
    "name",
    [
        "facebook/wav2vec2-base",
        "facebook/wav2vec2-large-xlsr-53",
        "microsoft/wavlm-base-plus",
        "facebook/data2vec-audio-base",
    ],
)
def test_missing_preprocessing_is_assumed_and_said(name: str, tmp_path: Path) -> None:
    """The published file of these says so; without it, group norm was taken for `do_normalize: false`, and nothing said so."""
    folder = write(name, tmp_path, preprocessing=False)
    scaled = BY_NAME[name].normalise
    way = "scaled to zero mean and unit variance" if scaled else "not scaled"
    (sentence,) = list_notes(folder)
    assert sentence.startswith(f"Its preprocessor_config.json is missing: clips are {way}, ")
    backbone = load(folder)
    assert sentence in backbone.notes and backbone.normalise is scaled


def _state(changes: dict[str, Any], file: str = "config.json") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))

    return change


def _break(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text('{"do_normalize": fal') and None


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        *(
            (name, _state({"num_hidden_layers": 2}), r"holds \d+ tensors that its config.json has no place for \(encoder\.layers\.2\.")
            for name in ("facebook/wav2vec2-base", "microsoft/wavlm-base", "facebook/hubert-base-ls960", "facebook/data2vec-audio-base-960h")
        ),
        ("MIT/ast-finetuned-audioset-10-10-0.4593", _state({"num_hidden_layers": 2}), r"holds \d+ tensors that its config.json has no place for \(layers\.2\."),
        ("MIT/ast-finetuned-audioset-10-10-0.4593", _state({"mean": -6.8, "std": 5.6}, "preprocessor_config.json"), "some/model was trained on spectrograms with mean: -6.8, std: 5.6; only"),
        ("openai/whisper-base", _state({"encoder_layers": 2}), r"holds \d+ tensors that its config.json has no place for \(layers\.2\."),
        ("microsoft/wavlm-base", _state({"num_hidden_layers": 4}), r"lacks \d+ weights of a wavlm model"),
        ("microsoft/wavlm-base", _state({"intermediate_size": 50}), "some/model cannot be loaded from"),
        ("facebook/hubert-base-ls960", _state({"sampling_rate": 8000}, "preprocessor_config.json"), "reads audio at 8000 Hz"),
        ("facebook/hubert-base-ls960", _break("preprocessor_config.json"), "preprocessor_config.json cannot be read"),
        ("facebook/hubert-large-ll60k", lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(), "some/model cannot be loaded from"),
        ("facebook/data2vec-audio-large", lambda folder: (folder / "pytorch_model-00003-of-00003.bin").unlink(), "some/model cannot be loaded from"),
    ],
)  # fmt: skip
def test_a_repository_that_contradicts_itself_is_refused(
    name: str, change: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = write(name, tmp_path)
    change(folder)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_layers_behind_the_transformer_are_not_dropped(tmp_path: Path) -> None:
    folder = write(
        "facebook/wav2vec2-base",
        tmp_path,
        values={**BY_NAME["facebook/wav2vec2-base"].shrink().values, "add_adapter": True},
    )
    with pytest.raises(ModelError, match=r"wav2vec2 model, which lacks a last layer of all frames \(add_adapter\)"):
        load(folder)


def test_the_preprocessing_of_a_processor_counts(tmp_path: Path) -> None:
    """`Wav2Vec2Processor.save_pretrained` of transformers 5 writes no preprocessor_config.json."""
    folder = write("microsoft/wavlm-base", tmp_path, preprocessing=False)
    _state({"feature_extractor": {"do_normalize": True, "sampling_rate": 16000}}, "processor_config.json")(folder)
    assert load(folder).normalise and list_notes(folder) == []


@pytest.mark.parametrize("layout", TEXT, ids=lambda layout: layout.name)
def test_a_text_model_of_fewer_layers_than_its_file_is_refused(layout: Layout, tmp_path: Path) -> None:
    folder = write(layout.name, tmp_path)
    _state({"num_hidden_layers": 2})(folder)
    with pytest.raises(ModelError, match=r"holds \d+ tensors that its config.json has no place for \(encoder.layer.2."):
        load_layout(layout, tmp_path, "model", [], torch.empty(0), export=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "wav2vec2-bert", "architectures": ["Wav2Vec2BertModel"]}, "w2v-BERT"),
    ],
)
def test_families_that_are_not_here_are_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    kind = getattr(layouts.transformers, values["architectures"][0])
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    kind(kind.config_class(**small)).save_pretrained(tmp_path / "model")
    with pytest.raises(
        ModelError, match=rf"is an? {values['model_type']} model, which lacks feature_extractor.conv_layers"
    ):
        load(tmp_path / "model")
