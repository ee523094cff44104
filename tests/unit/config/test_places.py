"""Paths in what is shown to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.config import load_study
from emoadapt.config.places import Places, hide_places, name_place


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/jane/data/speech", ".../speech"),
        ("/home/jane/my speech/", ".../my speech"),
        ("C:\\Users\\jane\\speech", ".../speech"),
        ("\\\\server\\jane\\speech", ".../speech"),
        ("~/data/speech", "..."),
        (str(Path.home()), "..."),
        ("data/speech", "data/speech"),
        ("microsoft/wavlm-base", "microsoft/wavlm-base"),
    ],
)
def test_only_the_last_part_of_an_absolute_path_is_shown(path: str, shown: str) -> None:
    assert name_place(path) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jane/a.wav: cut", ".../a.wav: cut"),
        ("failed ('/data/jane/x/a.wav')", "failed ('.../a.wav')"),
        ("see https://host/jane/page", "see https://host/jane/page"),
        ("train / test, and/or, 3/4, a/b/c", "train / test, and/or, 3/4, a/b/c"),
    ],
)
def test_paths_within_a_text_are_found(text: str, shown: str) -> None:
    assert hide_places(text) == shown


def test_a_study_hides_its_own_paths_however_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "jane/work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    root, annotations = str(tmp_path / "jane/my speech"), str(tmp_path / "jane/my speech/notes")
    gone = str(tmp_path / "jane/not here")
    pattern = r"/(?P<speaker>\d+)/"
    study = load_study(
        {
            "study": "s",
            "models_dir": str(tmp_path / "jane/models"),
            "corpora": {
                "c": {"importer": "csv", "root": root, "file": f"{annotations}/a.csv"},
                "d": {"importer": "folder", "root": gone, "optional": True},
                "e": {"importer": "folder", "root": "relative", "speaker_pattern": pattern},
            },
        }
    )
    places = Places(study)
    shown = places.hide([study.model_dump(mode="json"), study.left_out, f"{work}/results", {root: [f"in {root}, too"]}])
    assert "jane" not in str(shown)
    values, left_out, results, sentences = shown
    assert values["corpora"]["c"]["root"] == ".../my speech" and values["models_dir"] == ".../models"
    assert values["corpora"]["e"]["root"] == "relative" and values["corpora"]["e"]["speaker_pattern"] == pattern
    assert left_out == {"corpora.d": "its root .../not here is missing"}
    assert results == "./results" and sentences == {".../my speech": ["in .../my speech, too"]}
    assert places.hide(f"{root}s") == f"{root}s", "another folder"
