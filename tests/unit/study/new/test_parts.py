"""The parts of a proposal: names, patterns, columns, classes, paths, weights, YAML."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from emoadapt.config.yaml_files import read_file
from emoadapt.study.new.classes import name_classes
from emoadapt.study.new.columns import choose_columns
from emoadapt.study.new.drafts import Wishes, name_plainly
from emoadapt.study.new.encoders import choose_encoder, find_encoders
from emoadapt.study.new.page import Page
from emoadapt.study.new.patterns import find_label, find_speaker, list_places, read_emotion
from emoadapt.study.new.places import name_place
from emoadapt.study.new.published import find_matches
from emoadapt.study.new.tables import find_table


@pytest.mark.parametrize(
    "text",
    ["plain", "a b", "yes", "NULL", "010", "1e5", "#5", "a: b", "it's", r"(?P<s>\d+)_", "wütend", "${X}/a", "~", "-", "*x", 'say "no"',
     "a, b", "[x]", "{y}", "@a", "%b", "!c", "&d", "1:30", "2020-01-01", "x #y", "=", "tab\there"],
)  # fmt: skip
def test_every_text_is_read_back_as_it_was(tmp_path, text):
    page = Page()
    page.entry(text, [text, {text: text}], 0, "a reason\nof two lines with a # in it")
    page.entry("number", {"c": [0.01, 0.001, 1e-5, 2.5e-7, 1e20, 2], "flag": True, "none": None})
    (tmp_path / "s.yaml").write_text(page.text, encoding="utf-8")
    assert read_file(tmp_path / "s.yaml") == {
        text: [text, {text: text}],
        "number": {"c": [0.01, 0.001, 1e-5, 2.5e-7, 1e20, 2], "flag": True, "none": None},
    }


@pytest.mark.parametrize("sign", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x07", "\x1b", "\x0b", "\ufeff", "\u200b"])
def test_no_sign_ends_a_comment_or_makes_the_file_unreadable(tmp_path, sign):
    page, text = Page(), f"a label{sign}study: stolen"
    page.note(text)
    page.code(text)
    page.entry("short", text, 0, text)
    page.entry("long", "x", 0, f"{text} {'word ' * 40}")
    (tmp_path / "s.yaml").write_text(page.text, encoding="utf-8")
    assert read_file(tmp_path / "s.yaml") == {"short": text, "long": "x"}


def test_long_reasons_stand_above_their_key_and_within_the_width():
    page = Page()
    page.entry("key", "value", 1, "word " * 60)
    assert page.lines[-1] == "  key: value" and len(page.lines) > 2
    assert all(line.startswith("  # ") and len(line) <= 116 for line in page.lines[:-1])


def take(paths: list[str]) -> tuple[list[str] | None, list[str] | None, bool]:
    """Labels and speakers that the names tell, and whether the speakers are a guess."""
    places = list_places(paths)
    label = find_label(places)
    speaker, guess = find_speaker(places, label)
    return label and sorted(label.counts), speaker and sorted(speaker.counts), guess


@pytest.mark.parametrize(
    ("form", "labels", "speakers", "guess"),
    [
        ("{e}/{s}_{t}.wav", ["angry", "happy"], ["anna", "ben", "cem"], True),
        ("spk_{n}/{e}-{t}.wav", ["angry", "happy"], ["spk_1", "spk_2", "spk_3"], False),
        ("x/{t}.speaker.0{n}.{e}.wav", ["angry", "happy"], ["01", "02", "03"], False),
        ("{t}_s{n}_{e}.flac", ["angry", "happy"], ["s1", "s2", "s3"], True),
        ("{s}_s{t}_{e}.flac", ["angry", "happy"], ["anna", "ben", "cem"], True),
        ("{e}/{t}.wav", ["angry", "happy"], None, False),
        ("train/{e}/{s}/{t}.wav", ["angry", "happy"], ["anna", "ben", "cem"], True),
        ("{s}{e}{t}.wav", None, None, False),
    ],
)
def test_names_tell_labels_and_speakers(form, labels, speakers, guess):
    paths = [
        form.format(e=emotion, s=name, n=number, t=f"{take}{emotion[0]}{number}" if form[:7] == "{e}/{t}" else take)
        for emotion in ("angry", "happy")
        for number, name in enumerate(("anna", "ben", "cem"), 1)
        for take in range(4)
    ]
    assert take(paths) == (labels, speakers, guess)


def test_takes_and_sentences_are_no_speakers():
    assert take([f"{emotion}/{number:02}.wav" for emotion in ("sad", "happy") for number in range(20)])[1] is None
    confounded = [f"{emotion}/{who}_{i}.wav" for emotion, who in (("sad", "ann"), ("happy", "bob")) for i in range(8)]
    assert take(confounded)[1] is None, "a name that always goes with one emotion is rather a word for it"


@pytest.mark.parametrize(
    ("word", "emotion"),
    [
        ("Happy", "happiness"),
        ("ANG", "anger"),
        ("joy", "happiness"),
        ("neu", "neutral"),
        ("an", None),
        ("wut", None),
        ("relaxed", None),
    ],
)
def test_words_and_their_beginnings_are_read_as_emotions_and_nothing_else_is(word, emotion):
    assert read_emotion(word) == emotion


def test_two_words_for_one_emotion_stay_two_classes_and_spellings_become_one():
    named = name_classes({"joy": 5, "happy": 20, "Happy": 3, "wut": 9, "Neutral": 4})
    assert named == {"joy": "joy", "happy": "happiness", "Happy": "happiness", "wut": "wut", "Neutral": "neutral"}


def test_a_corpus_is_recognised_by_half_of_its_names():
    names = [f"wav/{speaker}a0{text}{letter}a.wav" for speaker in ("03", "08") for text in (1, 2) for letter in "WFT"]
    (match,) = [match for match in find_matches([*names, "readme.wav"]) if match.importer == "emodb"]
    assert match.describe() == "12 of 13 names match EmoDB"
    assert not [match for match in find_matches([*names[:3], *"abcdef"]) if match.importer == "emodb"]


def test_columns_are_known_by_name_or_by_content(tmp_path):
    media = [f"{i}_{'AB'[i % 2]}x.wav" for i in range(20)]
    lines = [
        f"{path},{'AB'[i % 2]}x,{['sad', 'happy'][i // 2 % 2]},{['train', 'test'][i % 2]},{'MF'[i % 2]},{i},{i + 1}"
        for i, path in enumerate(media)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["f,code,q1,q2,q3,begin,stop", *lines]))
    read, faults = find_table(tmp_path, media, ["t.csv"])
    columns = choose_columns(read, Wishes())
    assert not faults
    assert columns.mapping == {
        "media": "f",
        "label": "q1",
        "split": "q2",
        "sex": "q3",
        "start": "begin",
        "end": "stop",
        "speaker": "code",
    }
    assert [doubt for doubt in columns.doubts if "column code (Ax, Bx" in doubt]


def test_a_table_in_another_folder_names_files_without_their_folder(tmp_path):
    media = [f"audio/{part}/{i}.mp3" for part in ("a", "b") for i in range(4)]
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/list.tsv").write_text("id\tx\n" + "".join(f"{path[6:-4]}\t1\n" for path in media))
    (tmp_path / "other.csv").write_text("k,v\n1,2\n")
    read, _ = find_table(tmp_path, media, ["meta/list.tsv", "other.csv"])
    assert (read.path.name, read.column, read.prefix, read.extension, read.share) == (
        "list.tsv",
        "id",
        "audio/",
        ".mp3",
        1,
    )


def test_paths_are_written_relative_or_by_a_variable(tmp_path, monkeypatch):
    for variable in [name for name, value in os.environ.items() if value.startswith("/")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(tmp_path))
    for name in ("speech", "home"):
        (tmp_path / name / "one").mkdir(parents=True)
    assert name_place(Path("speech/one"), Path("speech")) == "speech/one"
    assert name_place(tmp_path / "speech/one", tmp_path) == (tmp_path / "speech/one").as_posix()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert name_place(tmp_path / "home/one", tmp_path) == "~/one"
    monkeypatch.setenv("SPEECH", str(tmp_path / "speech"))
    assert name_place(tmp_path / "speech/one", tmp_path) == "${SPEECH}/one"
    monkeypatch.setenv("NEARER", str(tmp_path / "speech/one"))
    assert name_place(tmp_path / "speech/one", tmp_path) == "${NEARER}"


def test_names_fit_a_study():
    assert [name_plainly(text) for text in ("My clips (2)", "2020", "Größe", "---")] == [
        "my_clips_2",
        "corpus_2020",
        "gr_e",
        "corpus",
    ]


def test_encoders_are_found_by_registered_names_checkpoints_and_folders(tmp_path):
    for name, size in (("whisper/base.pt", 30), ("mine/tiny.en.pt", 10), ("mine/faces.pt", 5)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    for kind in ("hubert", "bert", "unheard"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": kind}))
        (tmp_path / kind / "model.safetensors").write_bytes(b"x" * 20)
    found = find_encoders(tmp_path)
    assert [(e.architecture, e.weights) for e in found] == [
        ("whisper", "mine/tiny.en.pt"), ("hubert", "hubert"), ("whisper", "whisper/base")
    ]  # fmt: skip
    assert choose_encoder(found, gpu=False) == found[-1] and choose_encoder([], gpu=True) is None
    assert find_encoders(tmp_path / "none") == []
