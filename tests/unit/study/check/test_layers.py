"""Layers that a backbone lacks are found before any job, wherever their number can be known."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig

import emoadapt
from emoadapt.config import load_study
from emoadapt.errors import EmoadaptError
from emoadapt.plugins import collect_declarations
from emoadapt.study.check.layers import count_layers, find_missing_layers
from emoadapt.weights.checkpoints import read_outline

from .test_mistakes import study, workplace  # noqa: F401

LAYERS = 3
NAMES = [f"encoder.layers.{place}.fc1.weight" for place in range(LAYERS)]
DIMS = {"n_mels": 80, "n_audio_layer": LAYERS, "n_text_layer": 9, "n_audio_state": 8}
OPTIONS = argparse.Namespace(encoder_layers=9)


def save_tensors(file: str, names: list[str], **more: Any) -> str:
    state = {name: torch.zeros(4, 2) for name in names}
    torch.save({**more, "model": state}, Path("models", file))
    return file


def save_whisper(file: str = "w.pt", **options: Any) -> str:
    """As openai-whisper writes it; older files are no ZIP archives."""
    torch.save(
        {"dims": DIMS, "model_state_dict": {"encoder.conv1.bias": torch.zeros(2)}}, Path("models", file), **options
    )
    return file


def save_folder(kind: str = "wav2vec2", key: str = "num_hidden_layers", layers: int = LAYERS) -> str:
    Path("models", kind).mkdir(parents=True)
    Path("models", kind, "config.json").write_text(json.dumps({"model_type": kind, key: layers}))
    return kind


WEIGHTS: dict[str, tuple[str, Callable[[], str]]] = {
    "a file of OpenAI": ("whisper", save_whisper),
    "an older file of OpenAI": ("whisper", lambda: save_whisper(_use_new_zipfile_serialization=False)),
    "a checkpoint of fairseq": ("av_hubert", lambda: save_tensors("a.pt", NAMES, args=OPTIONS)),
    "one that was fine-tuned": ("av_hubert", lambda: save_tensors("a.pt", [f"encoder.w2v_model.{name}" for name in NAMES] + ["decoder.layers.8.x"])),
    "a folder": ("wav2vec2", save_folder),
    "a folder of a text encoder": ("distilbert", lambda: save_folder("distilbert", "n_layers")),
}  # fmt: skip
UNTRAINED = ["whisper", "wav2vec2", "hubert", "ast", "av_hubert", "bert"]


@pytest.fixture(autouse=True)
def models(workplace: Path) -> None:  # noqa: F811
    Path("models").mkdir()


def find(backbone: dict[str, Any], **changes: Any) -> list[str]:
    return [str(problem) for problem in find_missing_layers(load_study(study(backbones={"own": backbone, **changes.pop("backbones", {})}, **changes)))]  # fmt: skip


PROBE = {"method": "probe", "classifier": "logistic"}
ADAPTED = {"corpora": ["mine"], "objectives": {"egemaps": 1.0}}


@pytest.mark.parametrize("kind", [*WEIGHTS, *UNTRAINED])
@pytest.mark.parametrize("asked", ["layer", "layers", "Stage 1", "train_layers", "train_layers in Stage 1"])
def test_missing_layers_are_found_of_all_kinds(kind: str, asked: str) -> None:
    """Symptom: ready, and after the extraction `the backbone has no layer 9`: a `.pt` file was not looked into."""
    architecture, save = WEIGHTS.get(kind, (kind, None))
    source = {"weights": save()} if save else {"untrained": {"layers": LAYERS}}
    backbone = {"architecture": architecture, **source}
    for number, found in ((LAYERS, 0), (9, 1)):
        changes: dict[str, Any] = {
            "layer": {"finetunings": {"probe": PROBE | {"layer": number}}},
            "layers": {"finetunings": {"probe": PROBE | {"layer": [0, number]}}},
            "Stage 1": {"adaptations": {"a": ADAPTED | {"layer": number}}},
            "train_layers in Stage 1": {"adaptations": {"a": ADAPTED | {"train_layers": number}}},
        }.get(asked, {})
        own = {"train_layers": number} if asked == "train_layers" else {}
        try:
            said = find(backbone | own, **changes)
        except EmoadaptError as error:  # what the study itself says is found when it is read
            said = [str(error)]
        assert len(said) == found
        if found:
            assert (
                f"has layers 0 to {LAYERS};" in said[0]
                or f"has {LAYERS} layers; set `all` or at most {LAYERS}" in said[0]
            )


def test_care_and_fusions_have_the_layers_of_their_parts() -> None:
    speech = {"architecture": "wav2vec2", "weights": save_folder(layers=4)}
    text = {"architecture": "bert", "weights": save_folder("bert", layers=2)}
    care = {"architecture": "care", "speech": "own", "text": "text"}
    fusion = {"architecture": "fusion", "of": {"care": "care", "own": "own"}}
    parts = {"fusion": fusion, "care": care, "text": text}
    probe = {"probe": PROBE | {"backbones": ["care"], "layer": 5}}
    (said,) = find(speech, backbones=parts, finetunings=probe)
    assert "finetunings.probe.layer: layer 5 is asked for, and backbone care has layers 0 to 4;" in said
    (said,) = find(speech | {"train_layers": 5}, backbones=parts)
    assert said.startswith("backbones.own.train_layers: 5 are to be trained, and backbone own has 4 layers")
    (said,) = find(speech, backbones=parts | {"care": care | {"common": 3, "branch": 2}})
    assert said == "backbones.care.common: common and branch need 5 layers, and own has 4; lower one of the two"
    (said,) = find(speech, backbones=parts | {"care": care | {"common": 1}})
    assert said == "backbones.care.branch: each encoder gets 3 layers, and text has 2; set it to at most 2"


def test_every_kind_of_folder_says_how_many_layers_it_has() -> None:
    kinds = {kind for found in collect_declarations("backbones", "MODEL_TYPES").values() for kind in found}
    known = sorted(kinds & {*CONFIG_MAPPING})
    assert {"whisper", "wavlm", "distilbert", "audio-spectrogram-transformer"} <= {*known}
    for kind in known:
        config = AutoConfig.for_model(kind)
        config.num_hidden_layers = LAYERS
        config.save_pretrained(f"models/{kind}")
        assert count_layers(Path("models", kind)) == LAYERS, kind


class _Harmful:
    def __reduce__(self) -> Any:
        return exec, ("import pathlib; pathlib.Path('done').touch()",)


def test_a_checkpoint_is_read_without_running_its_code() -> None:
    torch.save({"dims": DIMS, "more": _Harmful(), "names": {str: 1}, "many": {1, 2}}, "models/w.pt")
    assert count_layers(Path("models/w.pt")) == LAYERS and not Path("done").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02", b"no checkpoint", bytes(200)])
def test_what_is_no_checkpoint_says_nothing(content: bytes) -> None:
    Path("models/w.pt").write_bytes(content)
    assert read_outline(Path("models/w.pt")) is None and count_layers(Path("models/w.pt")) is None


def test_reading_a_checkpoint_loads_no_torch() -> None:
    """A dry run reads it each time."""
    save_whisper()
    said = "import sys; from pathlib import Path; from emoadapt.study.check.layers import count_layers; "
    said += "print(count_layers(Path('models/w.pt')), 'torch' in sys.modules)"
    place = os.environ | {"PYTHONPATH": str(Path(emoadapt.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, env=place)
    assert done.stdout.split() == [str(LAYERS), "False"]
