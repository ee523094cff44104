"""The table of the classes of Stage-1 targets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from emoadapt.config import Study, load_study
from emoadapt.reporting.pretext import build_pretext, describe_pretext, list_pretext_notes
from emoadapt.reporting.tables import read_tidy, write_tables

AUDIO = {"importer": "folder", "root": "talks", "modalities": ["audio"]}
FILMS = {"importer": "folder", "root": "films", "modalities": ["audio", "video"]}

Write = Callable[..., Path]


@pytest.fixture
def write_model(tmp_path: Path) -> Write:
    """Write the facts of a Stage-1 model of the tasks of Goncalves & Busso (2022)."""

    def write(name: str, **changes: Any) -> Path:
        facts = {
            "objectives": {"action_units": 1.0, "landmark_motion": 1.0, "egemaps": 1.0},
            "utterances": {"train": 30, "held_out": 6},
            "targets": {"action_units": {"train": 20, "held_out": 4}, "landmark_motion": {"train": 30, "held_out": 6}},
            "classes": {
                "action_units": {"train": [[5, 0, 3, 0, 12]], "held_out": [[1, 0, 0, 3]]},
                "landmark_motion": {"train": [[20, 10], [18, 12]], "held_out": [[6], [3, 3]]},
            },
            "normalisers": [{"objective": "landmark_motion", "corpus": "*", "mean": [0.01234, 0.02], "std": [1, 1]}],
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "adaptation.json").write_text(json.dumps(facts | changes))
        return tmp_path / name

    return write


def test_each_task_has_its_classes_by_name_with_clips_and_shares(write_model: Write) -> None:
    found = build_pretext([write_model("lld.ssl1")])
    assert found.filter(objective="action_units").drop("adaptations", "objective", "task", "threshold").rows() == [
        ("happiness", 5, 0.25, 1, 0.25),
        ("sadness", 0, 0.0, 0, 0.0),
        ("surprise", 3, 0.15, 0, 0.0),
        ("anger", 0, 0.0, 3, 0.75),
        ("other", 12, 0.6, 0, 0.0),
        ("no target", 10, None, 2, None),
    ]
    moved = found.filter(objective="landmark_motion").select("task", "threshold", "class", "train", "held_out").rows()
    assert moved == [
        ("motion of the upper face", "0.0123", "not above", 20, 6),
        ("motion of the upper face", "0.0123", "above", 10, 0),
        ("motion of the lower face", "0.02", "not above", 18, 3),
        ("motion of the lower face", "0.02", "above", 12, 3),
    ]
    assert "egemaps" not in found["objective"], "numbers are no classes"
    shown = describe_pretext(found.row(0, named=True))
    assert (shown["training clips"], shown["held-out clips"], shown["task"]) == ("5 (25 %)", "1 (25 %)", "–")
    assert describe_pretext(found.row(5, named=True))["training clips"] == "10"


def test_adaptations_share_the_rows_of_equal_counts(write_model: Write) -> None:
    """Five combinations of three tasks would show each task up to four times."""
    other = [
        {"objective": "landmark_motion", "corpus": name, "mean": [mean, mean]}
        for name, mean in zip("ab", (1, 2), strict=True)
    ]
    models = [write_model("lld.ssl1"), write_model("wav2vec2.ssl1"), write_model("lld.ssl2", normalisers=other)]
    found = build_pretext(models)
    names = {row["objective"]: set(found.filter(objective=row["objective"])["adaptations"]) for row in found.to_dicts()}
    assert names == {"action_units": {"ssl1, ssl2"}, "landmark_motion": {"ssl1", "ssl2"}}
    assert set(found.filter(adaptations="ssl2")["threshold"]) == {"a 1, b 2"}


def test_models_of_an_adaptation_that_read_other_clips_are_told_apart(write_model: Write) -> None:
    """Symptom: two rows of a class with other counts, and the same name before both."""
    fewer = {
        "targets": {"action_units": {"train": 20, "held_out": 3}, "landmark_motion": {"train": 30, "held_out": 6}},
        "classes": {"action_units": {"train": [[5, 0, 3, 0, 12]], "held_out": [[1, 0, 0, 2]]}},
    }
    models = [
        write_model("lld.ssl1"),
        write_model("words.ssl1", **fewer),
        write_model("lld.ssl2"),
        write_model("w.ssl2"),
    ]
    found = build_pretext(models)
    per_objective = found.group_by("objective", maintain_order=True).agg(
        pl.col("adaptations").unique(maintain_order=True)
    )
    assert per_objective.rows() == [
        ("action_units", ["lld.ssl1, ssl2", "words.ssl1"]),
        ("landmark_motion", ["ssl1, ssl2"]),
    ]
    for (names, objective), rows in found.partition_by("adaptations", "objective", as_dict=True).items():
        assert rows.height == (6 if objective == "action_units" else 4), f"{names}: no row of another stands for one"


def make_study(**objectives: float) -> Study:
    backbone = {"lld": {"architecture": "lld_transformer"}}
    adaptation = {"corpora": ["talks", "films"], "backbones": ["lld"], "objectives": objectives}
    corpora = {"talks": AUDIO, "films": FILMS}
    return load_study({"study": "s", "corpora": corpora, "backbones": backbone, "adaptations": {"ssl1": adaptation}})


def test_the_note_names_the_command_for_corpora_with_faces(write_model: Write) -> None:
    found = build_pretext([write_model("lld.ssl1")])
    (note,) = list_pretext_notes(make_study(action_units=1, landmark_motion=1), found)
    assert "emoadapt contact-sheet films --feature landmarks --target TARGET" in note
    assert "(TARGET: ssl1.action_units, ssl1.landmark_motion)" in note and "talks" not in note
    assert "people are recognised" in note
    assert list_pretext_notes(make_study(energy_level=1), found) == []


def test_a_study_without_classes_has_no_such_table(study: Study, inputs: Any, written: Path, tmp_path: Path) -> None:
    tidy = read_tidy(written / "tables" / "pretext.csv")
    assert tidy.select("adaptations", "class", "train", "held_out").rows() == [
        ("multimodal", "negative", 10, 2),
        ("multimodal", "neutral", 25, 6),
        ("multimodal", "positive", 5, 0),
        ("multimodal", "no target", 11, 1),
    ]
    assert (
        "emoadapt contact-sheet films --feature faces --target TARGET draws some of each class (TARGET: multimodal.sentiment)."
        in (written / "tables" / "pretext.md").read_text()
    )
    write_tables(study, replace(inputs, adapted=[]), tmp_path)
    assert not (tmp_path / "pretext.csv").exists()
