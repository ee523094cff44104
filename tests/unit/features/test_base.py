"""Contract of all features: what they declare is true."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from bad_clips import write_good_clips
from openface_files import make_face, write_openface

from emoadapt import schema
from emoadapt.features.base import Context, FeatureSection
from emoadapt.flow.code import list_libraries, read_covered
from emoadapt.plugins import find_source, list_plugins, load_plugin, read_declaration
from emoadapt.weights.registry import find_entry

from ..transcription.text_models import save_encoder
from .fake_whisper import save_random_whisper
from .test_whisper_frames import save_whisper

FEATURES = list_plugins("features")
LIGHT = {
    "transcript": {"engine": "pocketsphinx"},
    "sentiment": {"engine": "vader"},
    "faces": {"detector": "haar", "fps": 2.0},
    "face_embedding": {"network": {"untrained": "tiny_cnn"}},
    "text_tokens": {"model": "text"},
    "text_embedding": {"model": "text"},
    "text_frames": {"model": "text"},
    "whisper_frames": {"model": "speech"},
    "word_times": {"model": "asr/tiny.pt"},
    "pase_frames": {"weights": None},
    "landmarks": {"detector": "openface_csv"},
}
"""Sections that need no weights but small encoders, `text` and `speech`, that the test makes."""


def list_sections(feature: str) -> list[FeatureSection]:
    """The section of a feature with each of its engines."""
    config = load_plugin("features", feature).Config
    sections = [config()]
    for name, field in config.model_fields.items():
        if name == "engine" and get_origin(field.annotation) is Literal:
            sections += [config(engine=engine) for engine in get_args(field.annotation)]
        if name == "detector":
            sections += [config(detector=detector) for detector in list_plugins(config.KIND)]
    return sections


@pytest.mark.parametrize("feature", FEATURES)
def test_declarations_are_complete(feature: str) -> None:
    module = load_plugin("features", feature)
    assert set(read_declaration("features", feature, "INPUTS")) <= {"manifest", *FEATURES}
    assert hasattr(module, "TERMS"), "say so where the software has no terms: TERMS = None"
    assert module.TERMS is None or not module.TERMS.endswith(".")
    assert module.__doc__ and module.Config.__doc__ and issubclass(module.Config, FeatureSection)
    assert set(getattr(module, "JOB", {})) <= {"memory_mb", "memory_mb_per_thread", "minutes"}
    assert set(getattr(module, "MODALITIES", ())) <= {"video"}
    decodes = any(name.startswith("emoadapt.media") for name in read_covered(f"emoadapt.features.{feature}"))
    assert getattr(module, "READS_MEDIA", False) == decodes


def test_terms_of_opensmile_are_stated_wherever_it_computes() -> None:
    """Symptom: the model card stated them for one of five features."""
    computed = {name for name in FEATURES if "opensmile" in list_libraries(f"emoadapt.features.{name}")}
    assert computed == {name for name in FEATURES if "openSMILE" in (read_declaration("features", name, "TERMS") or "")}
    assert len(computed) == 5


@pytest.mark.parametrize("feature", FEATURES)
def test_tables_begin_as_all_do_and_say_what_their_columns_hold(feature: str) -> None:
    table = schema.feature_table(feature)
    own = [table.field(index) for index in range(len(schema.FEATURE_COLUMNS), len(table))]
    assert list(table)[: len(schema.FEATURE_COLUMNS)] == schema.FEATURE_COLUMNS
    assert own and all(field.nullable and field.metadata[b"description"] for field in own)


@pytest.mark.parametrize("feature", FEATURES)
def test_libraries_are_installed_distributions(feature: str) -> None:
    named = {*list_libraries(f"emoadapt.features.{feature}")}
    named |= {library for section in list_sections(feature) for library in section.list_libraries()}
    installed = {entry.metadata["Name"] for entry in importlib.metadata.distributions()}
    assert named <= installed | {"mediapipe"}, "mediapipe is optional"


@pytest.mark.parametrize("feature", FEATURES)
def test_networks_are_registered_or_carried(feature: str) -> None:
    networks = [network for section in list_sections(feature) if (network := section.describe_network())]
    for network in networks:
        assert network.weights is None or find_entry(network.weights), network
        assert not (network.carried and (network.weights or network.state == "untrained")), network
        assert network.weights or network.carried or network.state != "pretrained", network
        assert network.role and network.kind


@pytest.mark.parametrize("feature", FEATURES)
def test_what_loads_weights_names_them(feature: str) -> None:
    """Their content is part of the recipe only if they are named."""
    sections = list_sections(feature)
    modules = {f"emoadapt.features.{feature}", *(name for section in sections for name in section.list_modules())}
    loads = any(calls(module, "resolve") for module in read_covered(*modules))
    assert loads == any(section.describe_network() and section.describe_network().weights for section in sections)


def calls(module: str, function: str) -> bool:
    """Whether a module calls a function by its bare name."""
    source = find_source(module)
    nodes = ast.walk(ast.parse(source.read_text())) if source else ()
    return any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == function for n in nodes)


@pytest.mark.parametrize("feature", FEATURES)
def test_idle_keys_are_keys(feature: str) -> None:
    for section in list_sections(feature):
        # Every engine leaves out the same keys, whichever of them it has.
        assert section.list_idle_keys() <= {*type(section).model_fields}
        assert 1 <= section.count_threads(8, on_gpu=False) <= 8
        assert {*section.list_manifest_columns()} <= {*schema.MANIFEST.names}


def test_modules_are_light() -> None:
    """The workflow imports all of them whenever it starts."""
    heavy = (
        "torch",
        "av",
        "cv2",
        "opensmile",
        "onnxruntime",
        "whisper",
        "transformers",
        "vaderSentiment",
        "pocketsphinx",
    )
    code = f"import sys, emoadapt.config; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("feature", FEATURES)
def test_each_module_can_be_imported_first(feature: str) -> None:
    """Symptom: the configuration, which is made of all features, found the first one half imported."""
    code = f"import emoadapt.features.{feature}; from emoadapt.config import Features; Features().{feature}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Feature -> row of one clip, computed from the declared inputs and nothing else."""
    folder = tmp_path_factory.mktemp("clips")
    write_good_clips(folder, 1)
    save_encoder(folder / "text")
    save_whisper(folder / "speech")
    save_random_whisper(folder / "asr/tiny.pt", 0)
    write_openface(folder / "good0.csv", [make_face(x=number) for number in range(8)])
    clip = dict.fromkeys(schema.MANIFEST.names) | {
        "path": folder / "good0.mp4",
        "media": "good0.mp4",
        "utterance_id": "c/good0",
    }
    rows: dict[str, dict[str, Any]] = {"manifest": clip}

    def compute(feature: str) -> dict[str, Any]:
        if feature not in rows:
            module = load_plugin("features", feature)
            inputs: dict[str, Any] = {}
            for name in module.INPUTS:
                inputs |= {key: value for key, value in compute(name).items() if key not in ("status", "reason")}
            if "transcript" in module.INPUTS:
                inputs |= {"text": "the dogs are so happy", "language": "en"}
            own = {"folder": str(folder)} if feature == "landmarks" else {}
            config = module.Config.model_validate(LIGHT.get(feature, {}) | own)
            (rows[feature],) = module.load(config, Context(folder)).extract([inputs])
        return rows[feature]

    for feature in FEATURES:
        compute(feature)
    yield rows


@pytest.mark.parametrize("feature", FEATURES)
def test_rows_have_the_columns_of_the_table(results: dict[str, dict[str, Any]], feature: str) -> None:
    row = results[feature]
    assert {*row} <= {*schema.feature_table(feature).names, "status"}
    if feature == "transcript" and row.get("status") == "absent":
        return  # tones are no words
    assert row.get("status", "ok") == "ok", row
