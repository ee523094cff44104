"""A study of two modalities: a fusion of frozen encoders, its student, and which jobs run after an edit."""

from __future__ import annotations

import sys

import polars as pl
import pytest
import yaml
from project import CLIPS, ROOT, SPEAKERS, Project, create_project, small_study

sys.path.insert(0, str(ROOT / "tests/unit/transcription"))
from text_models import save_encoder

pytestmark = pytest.mark.slow

SAID = {"low": "kids are talking by the door", "high": "dogs are so happy"}
TRAIN = "train task=emotions model={} subset=full batch=b000"
TEACHER, SPEECH, WORDS, STUDENT = (
    TRAIN.format(name)
    for name in ("joint.original.teacher", "tiny.original", "words.original", "tiny.original.student")
)
REPORT = {"evaluate task=emotions", "report"}


def make_study() -> dict:
    study = small_study()
    recipe = {"seeds": [0], "epochs": 1, "learning_rate": 1e-3}
    study["corpora"] = {"labelled": study["corpora"]["labelled"]}
    study["corpora"]["labelled"]["columns"]["transcript"] = "said"
    study["features"] = {"transcript": {"engine": "corpus"}, "text_tokens": {"model": "words"}}
    tiny = study["backbones"]["tiny"] | {"cnn": "frozen", "train_layers": 0, "embedding": 8}
    study["backbones"] = {
        "tiny": tiny | {"pooling": {"name": "gru", "hidden": 8}},
        "words": {"architecture": "bert", "weights": "words"},
        "joint": {"architecture": "fusion", "of": {"audio": "tiny", "text": "words"}, "embedding": 8},
    }
    study["adaptations"] = {}
    study["finetunings"] = {
        "default": recipe | {"backbones": ["tiny", "words"]},
        "teacher": recipe | {"backbones": ["joint"], "keep": "embeddings"},
        "student": recipe | {"method": "student", "backbones": ["tiny"], "teacher": "joint.original.teacher"},
    }
    study["tasks"]["emotions"]["subsets"] = ["full"]
    study["report"] = {"bootstrap": 100, "baseline": "tiny.original"}
    return study


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished study."""
    root = tmp_path_factory.mktemp("joined") / "project"
    project = create_project(root)
    save_encoder(root / "models/words")
    (root / "small.yaml").write_text(yaml.safe_dump(make_study(), sort_keys=False))
    rows = ["file,speaker,emotion,said"]
    for speaker in range(SPEAKERS):
        for clip in range(CLIPS):
            emotion = "high" if clip % 2 else "low"
            # Two clips have no words.
            said = "" if (speaker, clip) in ((0, 0), (3, 1)) else SAID[emotion]
            rows.append(f"t{speaker}_{clip}.wav,t{speaker},{emotion},{said}")
    (root / "media/labelled/labels.csv").write_text("\n".join(rows) + "\n")
    project.run()
    return project


def edit_study(project: Project, change) -> set[str]:
    """Jobs after a change of the study, which is then undone."""
    path, study = project.root / "small.yaml", make_study()
    change(study)
    before = path.read_text()
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    try:
        return project.jobs()
    finally:
        path.write_text(before)


def test_clips_without_words_are_predicted_by_the_fusion(joined: Project) -> None:
    assert joined.jobs() == set()
    runs = joined.root / "results/runs/emotions"
    rows = {
        name: pl.read_parquet(runs / f"{name}/full/b000/predictions.parquet")
        for name in ("joint.original.teacher", "words.original")
    }
    assert {name: len(table) for name, table in rows.items()} == {"joint.original.teacher": 48, "words.original": 46}
    assert (
        "2 of 48 clips lack text.tokens"
        in (joined.root / "logs/train/emotions/joint.original.teacher/full/b000.log").read_text()
    )


def test_a_part_s_settings_are_the_fusion_s(joined: Project) -> None:
    def train_fewer(study: dict) -> None:
        study["backbones"]["words"]["train_layers"] = 1

    assert edit_study(joined, train_fewer) == {WORDS, TEACHER, STUDENT} | REPORT

    def embed(study: dict) -> None:
        study["backbones"]["tiny"]["embedding"] = 9

    assert edit_study(joined, embed) == {SPEECH, STUDENT} | REPORT, "the fusion does not use it"

    def join(study: dict) -> None:
        study["backbones"]["joint"]["embedding"] = 9

    assert edit_study(joined, join) == {TEACHER, STUDENT} | REPORT


def test_another_teacher_trains_its_student_and_another_student_no_teacher(joined: Project) -> None:
    def train_longer(study: dict) -> None:
        study["finetunings"]["teacher"]["epochs"] = 2

    assert edit_study(joined, train_longer) == {TEACHER, STUDENT} | REPORT

    def weigh(study: dict) -> None:
        study["finetunings"]["student"]["weight"] = 3.0

    assert edit_study(joined, weigh) == {STUDENT} | REPORT

    def exchange(study: dict) -> None:
        study["backbones"]["joint"]["of"] = {"text": "words", "audio": "tiny"}

    assert edit_study(joined, exchange) == {TEACHER, STUDENT} | REPORT, "a clip must have the first part"

    def crop(study: dict) -> None:
        study["finetunings"]["teacher"]["max_seconds"] = 60.0

    assert edit_study(joined, crop) == {TEACHER, STUDENT} | REPORT


def test_only_frozen_states_are_kept(joined: Project) -> None:
    kept = sorted(path.name for path in (joined.root / "results/features").glob("*.*"))
    assert kept == ["states.tiny"]

    def freeze(study: dict) -> None:
        study["backbones"]["words"]["train_layers"] = 0

    found = {f"keep kind=states source=words corpus=labelled shard=00{i}" for i in range(2)}
    assert edit_study(joined, freeze) == found | {WORDS, TEACHER, STUDENT, "quarantine"} | REPORT


def test_other_tokens_train_what_reads_words_alone(joined: Project) -> None:
    def change(study: dict) -> None:
        study["features"]["text_tokens"]["languages"] = None

    found = {f"text_tokens corpus=labelled shard=00{i}" for i in range(2)}
    assert edit_study(joined, change) == found | {WORDS, TEACHER, STUDENT, "quarantine"} | REPORT


def test_other_transcripts_train_what_reads_words_alone(joined: Project) -> None:
    def change(study: dict) -> None:
        study["features"]["transcript"]["language"] = "en"

    found = {f"{rule} corpus=labelled shard=00{i}" for rule in ("transcript", "text_tokens") for i in range(2)}
    assert edit_study(joined, change) == found | {WORDS, TEACHER, STUDENT, "quarantine"} | REPORT


def test_a_probe_of_the_fusion_computes_the_layers_of_its_parts(joined: Project) -> None:
    probe = {"method": "probe", "backbones": ["joint"], "seeds": [0], "epochs": 1}

    def add(study: dict) -> None:
        study["finetunings"]["probe"] = dict(probe)

    kept = {
        f"keep kind=layers source={part} corpus=labelled shard=00{i}" for part in ("tiny", "words") for i in range(2)
    }
    assert edit_study(joined, add) == kept | {TRAIN.format("joint.original.probe"), "quarantine"} | REPORT
