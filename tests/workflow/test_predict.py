"""`emoadapt predict` with models that read more than audio gives what the test runs of their study gave."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from project import ROOT, Project, create_project, small_study

from emoadapt.errors import DataError
from emoadapt.inference.classifier import load_classifier
from emoadapt.inference.predict import predict_files
from emoadapt.inference.transcripts import read_transcripts

sys.path.append(str(ROOT / "tests/unit/transcription"))
from text_models import save_encoder

pytestmark = pytest.mark.slow

WORDS = {"high": "so happy are the kids", "low": "dogs are by the door"}
SILENT = "t3_2.wav"
NAMES = ("lld", "text", "joined")
TARGETS = [f"results/runs/emotions/{name}.original/full/b000/predictions.parquet" for name in NAMES]


def make_study() -> dict:
    study = small_study()
    study["models_dir"] = "weights"
    study["backbones"] = {
        "tiny": study["backbones"]["tiny"],
        "joined": {"architecture": "fusion", "of": {"audio": "tiny", "text": "text"}, "embedding": 8},
        "lld": {"architecture": "lld_transformer", "layers": 1, "scaled_layers": 1},
        "text": {"architecture": "bert", "weights": "words"},
    }
    study["features"] = {
        "transcript": {"engine": "corpus"},
        "text_tokens": {"model": "words"},
    }
    study["adaptations"] = {}
    study["finetunings"] = {"default": {"backbones": [*NAMES], "seeds": [0], "epochs": 2, "learning_rate": 1e-3}}
    study["tasks"]["emotions"]["subsets"] = ["full"]
    study["report"] = {"bootstrap": 100}
    study["keep_models"] = "all"
    labelled = study["corpora"]["labelled"]
    labelled |= {"shards": 1, "language": "en", "columns": {**labelled["columns"], "transcript": "text"}}
    return study


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = create_project(tmp_path_factory.mktemp("predict") / "project")
    labels = project.root / "media/labelled/labels.csv"
    header, *rows = labels.read_text().splitlines()
    labels.write_text("\n".join([f"{header},text", *(f"{row},{say(row)}" for row in rows)]) + "\n")
    (project.root / "small.yaml").write_text(yaml.safe_dump(make_study(), sort_keys=False))
    save_encoder(project.root / "weights/words")
    done = project.snakemake(*TARGETS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def say(row: str) -> str:
    """Words of a clip, more in later ones; one says nothing."""
    file, _, emotion = row.split(",")
    return "" if file == SILENT else " ".join([WORDS[emotion]] * (1 + int(file[3])))


def list_models(project: Project, name: str) -> list[Path]:
    return sorted((project.root / f"results/runs/emotions/{name}.original/full/b000/models").glob("*/"))


def list_clips(project: Project) -> list[Path]:
    return sorted((project.root / "media/labelled").glob("*.wav"))


def find_fold(model: Path) -> int:
    """Of the run, which its folder names: `emotions.lld.original.full.p0f1r0s0`."""
    return int(re.fullmatch(r"p0f(\d)r0s0", model.name.rpartition(".")[2])[1])


def read_tested(model: Path) -> dict[str, list[float]]:
    """File -> probabilities of the test run of the model's own fold."""
    table = pl.read_parquet(model.parents[1] / "predictions.parquet").filter(fold=find_fold(model))
    logits = torch.tensor(table["logits"].to_list())
    names = [f"media/{name}.wav" for name in table["utterance_id"]]
    return dict(zip(names, logits.softmax(dim=1).tolist(), strict=True))


def predict(project: Project, model: Path, *arguments: str) -> tuple[list[dict], str]:
    """Rows of a command, and what it says besides."""
    command = [sys.executable, "-m", "emoadapt", "predict", str(model), *arguments]
    environment = project._environment() | {"PYTHONPATH": str(project.root / "src")}
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_clips_are_predicted_as_in_the_test_run(name: str, trained: Project) -> None:
    texts = read_transcripts(trained.root / "media/labelled/labels.csv", list_clips(trained)) if name != "lld" else None
    models = list_models(trained, name)
    assert len(models) == 3
    for model in models:
        tested = read_tested(model)
        files = [trained.root / file for file in tested]
        rows = list(predict_files(load_classifier(model), files, transcripts=texts))
        assert [row.status for row in rows] == ["ok"] * len(tested) and len(tested) in (15, 16)
        found = np.array([list(row.probabilities.values()) for row in rows])
        np.testing.assert_allclose(found, list(tested.values()), atol=2e-6)
        assert np.ptp(found[:, 0]) > 0.01


def test_clip_without_words_is_absent_as_in_the_study(trained: Project) -> None:
    (model, *_) = list_models(trained, "text")
    assert not any(SILENT in file for path in list_models(trained, "text") for file in read_tested(path))
    files = [f"media/labelled/{name}" for name in (SILENT, "t3_3.wav")]
    rows, said = predict(trained, model, *files, "--transcripts", "media/labelled/labels.csv")
    assert [row["status"] for row in rows] == ["absent", "ok"]
    assert rows[0]["reason"] == "no_transcript: there is no transcript of this clip"
    assert rows[1]["text"] == " ".join([WORDS["high"]] * 4)
    assert said == "emoadapt: 46 rows of media/labelled/labels.csv are of files that are not predicted\n"


def test_fused_model_predicts_a_clip_without_words(trained: Project) -> None:
    (model,) = (path for path in list_models(trained, "joined") if f"media/labelled/{SILENT}" in read_tested(path))
    clip = trained.root / "media/labelled" / SILENT
    (row,) = predict_files(load_classifier(model), [clip], transcripts={clip: ""})
    assert list(row.probabilities.values()) == pytest.approx(read_tested(model)[f"media/labelled/{SILENT}"], abs=2e-6)
    assert row.reason == "stream_absent: text_tokens: no_transcript: there is no transcript of this clip"


def test_model_of_the_corpus_own_transcripts_asks_for_texts(trained: Project) -> None:
    rows, said = predict(trained, list_models(trained, "text")[0], "media/labelled/t3_3.wav")
    assert not rows
    assert "learned from the corpus's own transcripts" in said and "--transcripts" in said


def test_folder_says_what_it_reads_and_is_whole_by_itself(trained: Project, tmp_path: Path) -> None:
    """Symptom: a model that was copied elsewhere asked for the tokenizer of the study's folder of weights."""
    (model, *_) = list_models(trained, "text")
    shutil.copytree(model, tmp_path / "model")
    classifier = load_classifier(tmp_path / "model")
    assert classifier.reads == ("text_tokens",) and classifier.reads_text
    clip = trained.root / "media/labelled/t3_3.wav"
    found = predict_files(classifier, [clip], transcripts={clip: WORDS["low"]}, models_dir=tmp_path / "none")
    assert [row.status for row in found] == ["ok"]
    card = (list_models(trained, "lld")[0] / "README.md").read_text()
    assert "Input compare_frames: computed with openSMILE, whose licence is for research only." in card


@pytest.mark.parametrize("name", ["features.json", "features/text_tokens/tokenizer.json"])
@pytest.mark.parametrize("damage", ["edited", "missing"])
def test_damage_of_what_says_the_input_is_seen(name: str, damage: str, trained: Project, tmp_path: Path) -> None:
    shutil.copytree(list_models(trained, "text")[0], tmp_path / "model")
    file = tmp_path / "model" / name
    file.write_text(file.read_text().replace("e", "f", 1)) if damage == "edited" else file.unlink()
    said = "is not what was written" if damage == "edited" else "is missing"
    with pytest.raises(DataError, match=f"{name} {said}.*copy the whole folder"):
        load_classifier(tmp_path / "model")


def test_nothing_runs_again_without_an_edit(trained: Project) -> None:
    assert trained.jobs(*TARGETS) == set()


def test_edit_of_the_prediction_trains_nothing_again(trained: Project) -> None:
    file = "src/emoadapt/inference/reader.py"
    before = (trained.root / file).read_text()
    trained.edit(file, "torch.zeros(1)", "torch.zeros(2)")
    try:
        assert trained.jobs(*TARGETS) == set()
    finally:
        (trained.root / file).write_text(before)
