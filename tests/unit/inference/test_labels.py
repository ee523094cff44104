"""Labels of Audacity and WebVTT."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path

import pytest

from emoadapt.errors import ConfigError
from emoadapt.inference.labels import LabelWriter, name_outputs, refuse_other_content, write_audacity, write_webvtt
from emoadapt.inference.prediction import Prediction

ODD = Prediction(Path("a"), 3725.00006, 3726.5, label="a <b>\t& c\n-->", probabilities={"a <b>\t& c\n-->": 0.876})
RATED = Prediction(Path("a"), 0.0, 1.5, values={"arousal": 0.5, "valence": -1.25})


def test_audacity_has_a_line_for_each_label_and_times_to_the_sample() -> None:
    assert write_audacity(ODD) == "3725.00006\t3726.50000\ta <b> & c --> 0.88\n"
    assert round(float(write_audacity(ODD).split("\t")[0]) * 16_000) == round(3725.00006 * 16_000)
    assert write_audacity(RATED) == "0.00000\t1.50000\tarousal 0.50, valence -1.25\n"


def test_webvtt_escapes_names_and_counts_hours() -> None:
    assert write_webvtt(ODD) == "\n01:02:05.000 --> 01:02:06.500\na &lt;b&gt; &amp; c --&gt; 0.88\n"
    assert write_webvtt(Prediction(Path("a"), 1.0, 1.0001, label="x", probabilities={"x": 1.0})) == ""


def test_each_recording_has_a_file_and_rows_without_emotion_no_label() -> None:
    """Symptom: a file that could not be decoded had an empty file of labels, as if it held no emotion."""
    written: dict[Path, io.StringIO] = {}

    @contextmanager
    def open_file(file: Path):
        written[file] = io.StringIO()
        yield written[file]

    writer = LabelWriter("webvtt", open_file)
    broken = {"status": "failed", "reason": "x: y"}
    rows = [
        RATED,
        Prediction(Path("a"), **broken),
        Prediction(Path("b"), **broken),
        Prediction(Path("b"), 1.0, 2.0, **broken),
    ]
    for row in (
        *rows,
        Prediction(Path("c"), **broken),
        Prediction(Path("c"), 1.0, 2.0, status="absent", reason="quiet: x"),
    ):
        writer.write(row)
    writer.close()
    assert {str(file): content.getvalue() for file, content in written.items()} == {
        "a": "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\narousal 0.50, valence -1.25\n", "c": "WEBVTT\n",
    }  # fmt: skip
    assert writer.begun == {Path("a"), Path("c")}


def test_recordings_of_one_name_get_files_of_their_own(tmp_path: Path) -> None:
    files = [Path("x/a.wav"), Path("x/a.mp3"), Path("y/a.wav"), Path("-")]
    found = name_outputs(files, tmp_path, ".vtt", "labels")
    assert list(found.values()) == [tmp_path / name for name in ("x/a.wav.vtt", "x/a.mp3.vtt", "y/a.vtt", "stdin.vtt")]
    assert name_outputs(files[:1], tmp_path, ".vtt", "labels") == {files[0]: tmp_path / "a.vtt"}
    assert name_outputs(files[:1], Path("b.txt"), ".vtt", "labels") == {files[0]: Path("b.txt")}


def test_no_recordings_share_a_file(tmp_path: Path) -> None:
    files = [Path(name) for name in ("a.wav", "a.mp3", "a.wav.flac", "a", "b.wav", "b", "c.wav", "c.d.wav")]
    found = name_outputs(files, tmp_path, ".txt", "labels")
    assert len(set(found.values())) == len(files)
    assert found[Path("c.wav")].name == "c.txt" and found[Path("c.d.wav")].name == "c.d.txt"


@pytest.mark.parametrize(
    ("kind", "content", "refused"),
    [
        ("audacity", "", False), ("audacity", "0.00000\t1.50000\tanger 0.90\n", False), ("webvtt", "WEBVTT\n", False),
        ("audacity", "He said\tnothing\tat all\n", True), ("audacity", "12.5", True), ("webvtt", "1\n00:00", True),
    ],
)  # fmt: skip
def test_what_is_no_label_is_not_replaced(tmp_path: Path, kind: str, content: str, refused: bool) -> None:
    (tmp_path / "a.txt").write_text(content)
    places = [tmp_path / "a.txt", tmp_path / "new.txt"]
    if refused:
        with pytest.raises(ConfigError, match=f"a.txt is there and holds no {kind} labels; name another folder"):
            refuse_other_content(places, kind)
    else:
        refuse_other_content(places, kind)


@pytest.mark.parametrize(
    ("names", "place", "said"),
    [
        (["a.wav", "b.wav"], "c.vtt", "labels are one file for each of 2 recordings, and c.vtt is one file; name a folder"),
        (["a.wav", "b.wav", "x/../a.wav"], "out", "/a.wav is named twice, and labels are one file for each recording; name it once"),
    ],
)  # fmt: skip
def test_places_that_do_not_fit_are_refused(names: list[str], place: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        name_outputs([Path(name) for name in names], Path(place), ".vtt", "labels")
