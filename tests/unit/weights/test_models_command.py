"""`emoadapt models`: what a person types, and what it answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emoadapt.cli import app
from emoadapt.errors import ModelError
from emoadapt.weights.registry import LOCK_FILE, list_weights

STUDY = """
study: command
models_dir: weights
corpora: {c: {importer: folder, root: clips, modalities: [audio, video]}}
features: {faces: {detector: yunet}, face_embedding: {network: {file: own.onnx, output: x}}}
adaptations: {a: {corpora: [c], objectives: {face: 1.0}}}
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOADAPT_STUDY", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/own.onnx").write_bytes(b"own")
    return tmp_path


def run(*words: str) -> tuple[str, str]:
    """What was printed, and the sentence it ended with."""
    named = ["--configfile", "study.yaml"] if Path("study.yaml").exists() else []
    result = CliRunner().invoke(app, ["models", *words, *named])
    if result.exception is None:
        return result.stdout, ""
    assert isinstance(result.exception, ModelError), result.exception
    return result.stdout, str(result.exception)


def test_list_names_every_registered_model() -> None:
    said, error = run("list", "--models-dir", "anywhere")
    lines = said.splitlines()
    names = list(dict.fromkeys(entry.name for entry in list_weights().values()))
    assert [line.split()[0] for line in lines[1 : 1 + len(names)]] == names
    assert all(line.endswith("missing") for line in lines[1 : 1 + len(names)]) and not error


def test_fetch_without_names_is_for_the_study() -> None:
    said, error = run("fetch", "--offline")
    assert said == "own.onnx: is here, weights/own.onnx\n"
    assert error.startswith("yunet is missing, and nothing is downloaded offline") and "\n" not in error


def test_verify_without_names_is_for_the_study_and_what_is_here(workplace: Path) -> None:
    (workplace / "weights/mtcnn").mkdir()
    (workplace / "weights/mtcnn/pnet.pt").write_bytes(b"altered")
    said, error = run("verify")
    assert [line.split() for line in said.splitlines()] == [
        ["missing", "yunet", "weights/yunet/face_detection_yunet_2026may.onnx"],
        ["not", "pinned", "own.onnx", "weights/own.onnx"],
        ["altered", "mtcnn", "weights/mtcnn/pnet.pt"],
        ["missing", "mtcnn", "weights/mtcnn/rnet.pt"],
        ["missing", "mtcnn", "weights/mtcnn/onet.pt"],
    ]
    assert "2 of 3 sets of weights cannot be used" in error


def test_verify_lists_a_model_of_another_commit_once(workplace: Path) -> None:
    """Symptom: the study's own commit was `ok`, and then the same folder `altered`, as the registry has another."""
    name, commit = "facebook/wav2vec2-base", "b" * 40
    backbone = f"{{architecture: wav2vec2, weights: {name}, revision: {commit}}}"
    study = f"study: x\nmodels_dir: weights\ncorpora: {{c: {{importer: folder, root: clips}}}}\nbackbones: {{b: {backbone}}}\n"
    (workplace / "study.yaml").write_text(study)
    folder = workplace / "weights" / name
    folder.mkdir(parents=True)
    files = {}
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_bytes(b"fetched")
        files[f"{name}/{file}"] = hashlib.sha256(b"fetched").hexdigest()
    (workplace / "weights" / LOCK_FILE).write_text(json.dumps({name: {"revision": commit, "files": files}}))
    said, error = run("verify")
    assert [line.split()[:2] for line in said.splitlines()] == [["ok", name], ["ok", name]]
    assert not error


def test_names_and_a_folder_need_no_study(workplace: Path) -> None:
    (workplace / "study.yaml").unlink()
    said, error = run("verify", "own.onnx", "--models-dir", "weights")
    assert said.startswith("not pinned") and not error
    assert "did you mean mtcnn" in run("fetch", "mtcn", "--models-dir", "weights")[1]


def test_the_documentation_names_every_model_with_its_revision() -> None:
    page = (Path(__file__).parents[3] / "docs/models.md").read_text()
    for name, entry in list_weights().items():
        assert f"`{name}`" in page, name
        assert entry.revision is None or entry.revision[:12] in page, name
