"""What decides the rows of features, and which edits concern which of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import Study, load_study
from emoadapt.config.features import list_upstream, needs_video
from emoadapt.errors import ConfigError
from emoadapt.extraction.recipes import describe_extraction, describe_job, describe_recipe, needs_gpu
from emoadapt.flow import code
from emoadapt.plugins import list_plugins, use_folder

from ..transcription.text_models import save_encoder


def make_study(**features: Any) -> Study:
    corpora = {"c": {"importer": "folder", "root": ".", "modalities": ["audio", "video"]}}
    return load_study({"study": "s", "corpora": corpora, "features": features})


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder for own features and detectors, forgotten afterwards."""
    for kind in ("features", "detectors"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    yield tmp_path / "mine"
    use_folder(None)


def read_codes(study: Study) -> dict[str, str]:
    code.code_digest.cache_clear()
    return {feature: describe_recipe(study, feature).code for feature in list_plugins("features")}


def find_concerned(monkeypatch: pytest.MonkeyPatch, edited: str, **features: Any) -> set[str]:
    """Features that an edit of a module concerns."""
    study = make_study(**features)
    before, read = read_codes(study), code._recall
    with monkeypatch.context() as patch:
        patch.setattr(
            code,
            "_recall",
            lambda name, *rest: {
                part: replace(found, digest=found.digest + "!" * (name == edited))
                for part, found in read(name, *rest).items()
            },
        )
        after = read_codes(study)
    code.code_digest.cache_clear()
    return {feature for feature in before if before[feature] != after[feature]}


@pytest.mark.parametrize("feature", list_plugins("features"))
def test_an_edit_of_a_feature_concerns_itself_alone(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    assert find_concerned(monkeypatch, f"emoadapt.features.{feature}") == {feature}


@pytest.mark.parametrize(
    ("module", "features"),
    [
        ("acoustics.smile", {"egemaps", "egemaps_frames", "egemaps_functionals", "compare_frames", "compare_functionals"}),
        ("faces.cropping", {"faces"}),
        ("faces.search", {"faces"}),
        ("faces.tracking", {"faces", "landmarks"}),
        ("faces.traces", {"landmark_motion", "action_units"}),
        ("faces.action_units", {"action_units"}),
        ("faces.onnx_network", {"face_embedding"}),
        ("transcription.whisper_recogniser", {"transcript", "word_times"}),
        ("transcription.tokens", {"text_tokens", "text_embedding", "text_frames", "sentiment"}),
        ("transcription.texts", {"text_tokens", "text_embedding", "text_frames", "sentiment"}),
        ("transcription.encoders", {"text_embedding", "text_frames"}),
        ("extraction.recipes", set()),
        ("config.features", set()),
        ("plugins", set()),
        ("study.graph", set()),
    ],
)  # fmt: skip
def test_an_edit_of_machinery_concerns_those_who_use_it(
    monkeypatch: pytest.MonkeyPatch, module: str, features: set[str]
) -> None:
    assert find_concerned(monkeypatch, f"emoadapt.{module}") == features


@pytest.mark.parametrize("detector", list_plugins("detectors"))
def test_faces_depend_on_their_own_detector(monkeypatch: pytest.MonkeyPatch, detector: str) -> None:
    """And on no other."""
    for other in list_plugins("detectors"):
        concerned = find_concerned(monkeypatch, f"emoadapt.detectors.{other}", faces={"detector": detector})
        assert concerned == ({"faces"} if other == detector else set()), other


@pytest.mark.parametrize("detector", list_plugins("landmarkers"))
def test_landmarks_depend_on_their_own_detector(monkeypatch: pytest.MonkeyPatch, detector: str) -> None:
    """And on no other; what is computed of them is keyed by their rows."""
    for other in list_plugins("landmarkers"):
        concerned = find_concerned(monkeypatch, f"emoadapt.landmarkers.{other}", landmarks={"detector": detector})
        assert concerned == ({"landmarks"} if other == detector else set()), other


def test_files_that_a_user_brings_are_part_of_the_recipe_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CSV file of OpenFace that is edited, added or renamed makes landmarks stale, a touched one does not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openface/talks").mkdir(parents=True)
    file = tmp_path / "openface/talks/a.csv"
    file.write_text("frame\n1\n")
    study = make_study(landmarks={"detector": "openface_csv"})

    def identify() -> str:
        return describe_recipe(study, "landmarks").model

    first = identify()
    assert first and describe_recipe(study, "action_units").model == ""
    os.utime(file, (1, 1))
    assert identify() == first
    file.write_text("frame\n2\n")
    edited = identify()
    file.rename(file.with_name("b.csv"))
    assert len({first, edited, identify()}) == 3
    assert describe_recipe(make_study(), "landmarks").model.startswith("sha256:")


def test_finding_fetching_and_describing_weights_makes_no_row_stale() -> None:
    """Symptom: a new sentence in a message of the registry would have had all speech recognised again."""
    modules = [f"emoadapt.features.{name}" for name in list_plugins("features")]
    modules += [f"emoadapt.{kind}.{name}" for kind in ("detectors", "landmarkers") for name in list_plugins(kind)]
    found = code.read_covered(*modules)
    aside = ("registry", "inventory", "fetching", "cards")
    assert not {name for name in found if name.rpartition(".")[2] in aside}
    others = tuple(f"emoadapt.{room}" for room in ("backbones", "layers", "poolings", "training", "study"))
    own = code.read_covered("emoadapt.features.whisper_frames")
    without = code.read_covered(*(name for name in modules if name != "emoadapt.features.whisper_frames"))
    assert not {name for name in without if name.startswith(others)}
    assert not {name for name in own if name.startswith(others[-2:])}


def test_declarations_for_people_and_clusters_make_no_row_stale(own: Path) -> None:
    """Terms, memory and the descriptions of columns; an edit of anything else does."""
    file = own / "features/tone.py"
    text = LOUDNESS.replace('"features computed in the laboratory"', "None")
    file.write_text(text)
    use_folder(own)
    found = code.code_digest("emoadapt.features.tone")
    for old, new in (("TERMS = None", 'TERMS = "secret"'), ('"dB"', '"decibel"'), ('"minutes": 5', '"minutes": 9')):
        assert old in text
        file.write_text(text.replace(old, new))
        code.code_digest.cache_clear()
        assert code.code_digest("emoadapt.features.tone") == found, new
    file.write_text(text.replace("20 *", "10 *"))
    code.code_digest.cache_clear()
    assert code.code_digest("emoadapt.features.tone") != found
    code.code_digest.cache_clear()


@pytest.mark.parametrize(
    ("feature", "keys", "same"),
    [
        ("transcript", {"batch_size": 3}, True),
        ("transcript", {"engine": "pocketsphinx", "model": "tiny"}, True),
        ("transcript", {"model": "tiny"}, False),
        ("sentiment", {"batch_size": 3}, True),
        ("sentiment", {"engine": "vader", "model": "a/b"}, True),
        ("face_embedding", {"batch_size": 3}, True),
        ("faces", {"margin": 0.5}, False),
        ("egemaps", {"window": "stock"}, False),
        ("text_tokens", {"languages": ["en", "de"]}, False),
        ("text_tokens", {"languages": None}, False),
        ("text_embedding", {"layer": 6}, False),
        ("text_embedding", {"batch_size": 3}, True),
        ("action_units", {"thresholds": {12: 0.3}}, False),
        ("landmark_motion", {"scale": "image"}, False),
    ],
)
def test_a_key_that_is_not_read_changes_no_recipe(feature: str, keys: dict[str, Any], same: bool) -> None:
    usual = {"engine": keys["engine"]} if "engine" in keys else {}
    before = describe_recipe(make_study(**{feature: usual}), feature)
    assert (describe_recipe(make_study(**{feature: keys}), feature) == before) is same


def test_untrained_networks_of_other_seeds_have_other_recipes() -> None:
    recipes = {
        seed: describe_recipe(
            make_study(face_embedding={"network": {"untrained": "tiny_cnn", "seed": seed}}), "face_embedding"
        )
        for seed in (0, 1)
    }
    assert recipes[0] != recipes[1] and recipes[0].model == "untrained"
    assert describe_recipe(make_study(), "face_embedding").model.startswith("sha256:")


@pytest.mark.parametrize(
    ("file", "concerned"),
    [
        ("tokenizer.json", {"text_tokens", "text_embedding"}),
        ("tokenizer_config.json", {"text_tokens", "text_embedding"}),
        ("config.json", {"text_tokens", "text_embedding"}),
        ("model.safetensors", {"text_embedding"}),
        ("README.md", {"text_embedding"}),
    ],
)
def test_tokens_depend_on_the_tokenizer_and_not_on_the_encoder(tmp_path: Path, file: str, concerned: set[str]) -> None:
    folder = save_encoder(tmp_path / "mine")
    (folder / "README.md").write_text("Mine.")
    text = {"model": "mine"}
    study = make_study(text_tokens=text, text_embedding=text).model_copy(update={"models_dir": tmp_path})
    before = {name: describe_recipe(study, name) for name in list_plugins("features")}
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert {name for name in before if describe_recipe(study, name) != before[name]} == concerned
    assert before["text_tokens"].model.startswith("sha256:")


def test_a_corrected_transcript_concerns_only_those_who_copy_it() -> None:
    """Symptom: transcripts added to a corpus, to measure a recogniser by, had all its clips recognised again."""
    columns = {
        engine: describe_extraction(make_study(transcript={"engine": engine}), "transcript").manifest_columns
        for engine in ("whisper", "pocketsphinx", "corpus")
    }
    assert columns == {
        "whisper": ("language",),
        "pocketsphinx": ("language",),
        "corpus": ("language", "transcript"),
    }


def test_jobs_ask_for_what_their_engines_use() -> None:
    """Threads, GPUs, memory and minutes, which clusters reserve."""
    study = make_study(faces={"detector": "haar"}).model_copy(update={"extraction_threads": 4})
    found = {name: describe_job(study, name) for name in list_plugins("features")}
    assert {name: (job.threads, job.gpus) for name, job in found.items()} == {
        "audio": (4, 0), "egemaps": (4, 0), "egemaps_frames": (4, 0), "egemaps_functionals": (4, 0), "compare_frames": (4, 0),
        "compare_functionals": (4, 0), "faces": (4, 0), "face_embedding": (1, 1), "transcript": (1, 1), "sentiment": (1, 1),
        "pase_frames": (1, 1), "text_tokens": (1, 0), "text_embedding": (1, 1), "whisper_frames": (1, 1),
        "word_times": (1, 1), "text_frames": (1, 1),
        "rms": (4, 0), "landmarks": (4, 0), "landmark_motion": (1, 0), "action_units": (1, 0),
    }  # fmt: skip
    job = found["faces"]
    assert (job.memory_mb, job.memory_mb_per_thread, job.minutes) == (3000, 1000, 720)
    on_cpu = study.model_copy(update={"device": "cpu"})
    assert (describe_job(on_cpu, "transcript").threads, describe_job(on_cpu, "transcript").gpus) == (4, 0)
    assert needs_gpu(make_study(faces={"detector": "mtcnn"}), "faces")


def test_features_are_computed_after_what_they_need() -> None:
    assert list_upstream("sentiment") == ["audio", "transcript", "sentiment"]
    assert list_upstream("audio") == ["audio"]
    assert list_upstream("action_units") == ["landmarks", "action_units"]
    video = ["action_units", "face_embedding", "faces", "landmark_motion", "landmarks"]
    assert [name for name in list_plugins("features") if needs_video(name)] == video


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ('("tone",)', "feature tone needs itself: tone"),
        ('("audoi",)', "feature audoi is not known; did you mean audio"),
    ],
)
def test_inputs_that_cannot_be_computed_are_refused(own: Path, inputs: str, sentence: str) -> None:
    (own / "features/tone.py").write_text(LOUDNESS.replace('("audio",)', inputs))
    use_folder(own)
    with pytest.raises(ConfigError, match=sentence):
        list_upstream("tone")


def test_a_new_feature_and_a_new_detector_change_no_recipe(own: Path) -> None:
    before = {name: describe_recipe(make_study(), name) for name in list_plugins("features")}
    (own / "features/tone.py").write_text(LOUDNESS)
    (own / "detectors/middle.py").write_text(MIDDLE)
    use_folder(own)
    code.code_digest.cache_clear()
    assert {"tone"} == {*list_plugins("features")} - {*before}
    study = make_study()
    assert {name: describe_recipe(study, name) for name in before} == before


LOUDNESS = '''
import pyarrow as pa

from emoadapt import schema
from emoadapt.features.base import FeatureSection

INPUTS = ("audio",)
TERMS = "features computed in the laboratory"
JOB = {"memory_mb": 1000, "minutes": 5}
TABLE = schema.make_feature_table(schema.column("tone", pa.float32(), "dB"))


class Config(FeatureSection):
    """Loudness."""


def load(config, context):
    return Tone()


class Tone:
    def extract(self, rows):
        import numpy as np

        return [{"tone": 20 * float(np.abs(np.frombuffer(row["audio"], "<i2")).mean())} for row in rows]
'''
MIDDLE = """
WEIGHTS = None
STATE = "rules"
GPU = False
HONOURS = ()


def load(config, models_dir, device, threads):
    raise NotImplementedError
"""


IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ({"colour": "rgb"}, True),
        (IMAGENET, True),
        ({"colour": "rgb", **IMAGENET}, True),
        ({"colour": "bgr"}, False),
        (IMAGENET | {"std": [0.5] * 3}, False),
        ({"input_size": 64}, False),
    ],
)
def test_to_declare_what_was_assumed_of_a_network_computes_nothing_again(keys: dict[str, Any], same: bool) -> None:
    """Symptom: who did what the note of `check` asks had all faces embedded again."""

    def read(**network: Any) -> Any:
        return describe_recipe(make_study(face_embedding={"network": {"file": "my.onnx", **network}}), "face_embedding")

    assert (read() == read(**keys)) == same
