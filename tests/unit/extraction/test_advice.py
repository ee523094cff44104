"""Notes on windows and languages, printed by `emoadapt check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.extraction.advice import advise_features
from emoadapt.features.transcript import Config as AsrConfig
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.study import print_check
from emoadapt.study.graph import Graph


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    rows = ["file,language"]
    for number, language in enumerate(["", "", "zh", "en-GB", "zh"]):
        (tmp_path / f"clips/{number}.wav").write_bytes(bytes([number]))
        rows.append(f"{number}.wav,{language}")
    (tmp_path / "clips/clips.csv").write_text("\n".join(rows))


def study(features: dict[str, Any], also: list[str], **corpus: Any) -> Any:
    columns = {"media": "file", "language": "language"}
    clips = {"importer": "csv", "root": "clips", "file": "clips.csv", "columns": columns, **corpus}
    return load_study({"study": "s", "corpora": {"clips": clips}, "features": {**features, "also": also}})


def advise(features: dict[str, Any], also: list[str], **corpus: Any) -> list[str]:
    found = study(features, also, **corpus)
    return advise_features(found, Graph(found).features_in_use(), Listings(found).read_utterances)


ENGLISH = [
    "corpus clips: 2 of 5 clips are in zh, which {} does not know; they get no transcript (language_not_supported)",
    "corpus clips: 2 of 5 clips have no language, and {} writes English for any; set corpora.clips.language or "
    "features.transcript.unknown_language: absent, or take a model of many languages",
]


@pytest.mark.parametrize(
    ("transcript", "name"),
    [({"engine": "pocketsphinx"}, "pocketsphinx"), ({"model": "tiny.en"}, "whisper (tiny.en)")],
)
def test_languages_that_an_english_recogniser_cannot_know_are_noted(transcript: dict[str, Any], name: str) -> None:
    assert advise({"transcript": transcript}, ["transcript"]) == [note.format(name) for note in ENGLISH]
    assert advise({"transcript": {**transcript, "unknown_language": "absent"}}, ["transcript"]) == [
        ENGLISH[0].format(name)
    ]
    assert advise({"transcript": transcript}, ["transcript"], language="en") == []
    assert advise({"transcript": transcript}, ["egemaps"]) == [], "nothing is transcribed"


def test_a_recogniser_of_many_languages_needs_no_note() -> None:
    assert advise({"transcript": {"model": "tiny"}}, ["transcript"]) == []
    assert advise({"transcript": {"engine": "corpus"}}, ["transcript"]) == []


def test_a_configured_language_that_overrides_the_corpus_is_noted() -> None:
    assert advise({"transcript": {"model": "tiny", "language": "en"}}, ["transcript"]) == [
        "corpus clips: 2 of 5 clips are in zh, and features.transcript.language: en overrides that"
    ]


@pytest.mark.parametrize(
    ("values", "english"),
    [
        ({"engine": "pocketsphinx"}, True),
        ({"model": "tiny.en"}, True),
        ({"model": "converted/tiny.en.pt"}, True),
        ({"model": "small"}, False),
        ({"model": "open.pt"}, False),
        ({"engine": "corpus", "model": "tiny.en"}, False),
    ],
)
def test_english_recognisers_are_known_by_name(values: dict[str, Any], english: bool) -> None:
    assert AsrConfig(**values).knows_only_english() is english


def test_check_explains_the_short_window_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    print_check(study({"egemaps": {"window": "paper"}}, ["egemaps", "egemaps_frames"]))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    (note,) = notes
    assert note.startswith(
        "note: features.egemaps: window: paper is too short for openSMILE's pitch tracker (EmoDB: 20 %"
    )
    assert "paper_pitch60" in note
    print_check(study({"egemaps": {"window": "paper"}}, ["egemaps_frames"]))
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert (
        note == "note: features.egemaps: no backbone and no objective reads egemaps, so that these keys change nothing"
    )
