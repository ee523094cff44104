"""A study with a target: what is used without labels is said, and which jobs run after an edit."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
import soundfile
import yaml
from project import Project, create_project, make_tone, small_study

pytestmark = pytest.mark.slow

TRAIN = "train task=emotions model=tiny.original{} subset=full batch=b000"
PLAIN, BOTH = TRAIN.format(""), TRAIN.format(".both")
REPORT = {"evaluate task=emotions", "report"}


def make_study() -> dict:
    """The corpus `abroad` is the target of `labelled`: 12 of its 24 clips are read without labels."""
    study = small_study()
    labelled = study["corpora"]["labelled"] | {"shards": 1}
    study["corpora"] = {"labelled": labelled, "abroad": labelled | {"root": "media/abroad"}}
    study["backbones"] = {"tiny": study["backbones"]["tiny"]}
    study["adaptations"] = {}
    recipe = {"seeds": [0], "epochs": 1, "learning_rate": 1e-3}
    study["finetunings"] = {"default": recipe, "both": recipe | {"method": "domain", "batch_size": 12}}
    study["tasks"]["emotions"] = {
        "corpus": "labelled", "classes": ["low", "high"], "other_labels": "drop", "split": {"by": "all", "dev": 0.2},
        "target": {"corpus": "abroad", "share": 0.5}, "leaks": {"speakers": "report"},
    }  # fmt: skip
    study["report"] = {"bootstrap": 100, "baseline": "tiny.original"}
    study["keep_models"] = "best"
    return study


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished study."""
    project = create_project(tmp_path_factory.mktemp("adapted") / "project")
    root = project.root
    shutil.rmtree(root / "media/unlabelled")
    (root / "media/abroad").mkdir()
    rows = ["file,speaker,emotion"]
    for number in range(24):
        name = f"a{number % 3}_{number}.wav"
        tone = make_tone(900 + number, 180 + 200 * (number % 2))
        soundfile.write(root / "media/abroad" / name, tone, 16000, subtype="PCM_16")
        rows.append(f"{name},a{number % 3},{'high' if number % 2 else 'low'}")
    (root / "media/abroad/labels.csv").write_text("\n".join(rows) + "\n")
    (root / "small.yaml").write_text(yaml.safe_dump(make_study(), sort_keys=False))
    project.run()
    return project


def test_the_report_says_what_was_read_without_labels(adapted: Project) -> None:
    root = adapted.root
    assert adapted.jobs() == set()
    page = (root / "results/report/index.html").read_text()
    assert "3 of the 3 test speakers of abroad are in its unlabelled part too" in page
    assert "are those of adaptation to this corpus" in page
    assert "12 clips of abroad" in page
    (card,) = root.glob("results/runs/emotions/tiny.original.both/full/b000/models/*/README.md")
    assert "12 clips of abroad; scores there are of adaptation to this corpus" in card.read_text()
    trained = pl.read_parquet(root / "results/divisions/emotions/0.parquet")
    assert (
        trained.filter(corpus="abroad")["label"].null_count() == 24
        and trained.filter(corpus="labelled")["label"].null_count() == 0
    )
    scores = pl.read_parquet(root / "results/metrics/emotions.parquet").filter(metric="uar")
    assert scores["test_corpus"].unique().to_list() == ["abroad"] and set(scores["finetuning"]) == {"default", "both"}


def test_edits_of_labels_clips_and_weights(adapted: Project) -> None:
    """A label of the target trains nothing; a clip of it, or a label that makes a clip one of it, trains all; a weight its own."""
    labels = "media/abroad/labels.csv"
    adapted.edit(labels, "a1_1.wav,a1,high", "a1_1.wav,a1,low")
    assert adapted.jobs() == {"split task=emotions partition=0", "leaks task=emotions"} | REPORT
    adapted.edit(labels, "a1_1.wav,a1,low", "a1_1.wav,a1,bored")
    divided = {
        "split task=emotions partition=0",
        "divide task=emotions partition=0",
        "leaks task=emotions",
        PLAIN,
        BOTH,
    }
    assert adapted.jobs() == divided | REPORT
    adapted.edit(labels, "a1_1.wav,a1,bored", "a1_1.wav,a1,high")
    adapted.edit("media/labelled/labels.csv", "t1_1.wav,t1,high", "t1_1.wav,t1,low")
    assert adapted.jobs() == divided | REPORT
    adapted.edit("media/labelled/labels.csv", "t1_1.wav,t1,low", "t1_1.wav,t1,high")
    soundfile.write(adapted.root / "media/abroad/a2_99.wav", make_tone(99, 380), 16000, subtype="PCM_16")
    text = (adapted.root / labels).read_text()
    (adapted.root / labels).write_text(text + "a2_99.wav,a2,high\n")
    listed = {"manifest corpus=abroad shard=000", "audio corpus=abroad shard=000", "quarantine"}
    assert adapted.jobs() == divided | listed | REPORT
    (adapted.root / labels).write_text(text)
    (adapted.root / "media/abroad/a2_99.wav").unlink()
    study = make_study()
    study["finetunings"]["both"]["objectives"] = {"contrastive": 0.4, "information": 0.5, "augmentation_type": 0.1}
    (adapted.root / "small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert adapted.jobs() == {BOTH} | REPORT
    (adapted.root / "small.yaml").write_text(yaml.safe_dump(make_study(), sort_keys=False))
    assert adapted.jobs() == set()
