"""Segments that leave their files are refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoadapt.corpora.csv import Config
from emoadapt.errors import CorpusError
from emoadapt.listing import bounds
from emoadapt.listing.bounds import refuse_segments_outside
from emoadapt.listing.reading import read_utterances


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The section of a corpus with a.wav of 4 s, and the rows `start,end` that a test wants."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    soundfile.write("data/a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 64000), 16000)

    def make(*rows: str) -> Config:
        Path("data/t.csv").write_text("\n".join(["file,from,to", *(f"a.wav,{row}" for row in rows)]))
        columns = {"media": "file", "start": "from", "end": "to"}
        return Config(importer="csv", root="data", file="t.csv", columns=columns)

    return make


def refuse(config: Config) -> None:
    refuse_segments_outside("c", config, read_utterances("c", config))


@pytest.mark.parametrize("row", ["0,4", "3.5,", ",1", "1,4.15", "3.999,4.19", ","])
def test_segments_within_their_file_pass(corpus, row):
    refuse(corpus(row))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,5.5", r"data/t\.csv, line 3 \(end 5\.5 s; a\.wav ends at 4\.00 s\);"),
        (
            "1000,2500",
            r"data/t\.csv, line 3 \(start 1000 s; a\.wav ends at 4\.00 s; are these milliseconds\?\);",
        ),
        ("0,5500", r"data/t\.csv, line 3 \(end 5500 s; a\.wav ends at 4\.00 s; are these milliseconds\?\);"),
        ("4.1,4.19", r"data/t\.csv, line 3 \(start 4\.1 s; a\.wav ends at 4\.00 s\);"),
        ("4,", r"data/t\.csv, line 3 \(start 4 s; a\.wav ends at 4\.00 s\);"),
        ("6,", r"data/t\.csv, line 3 \(start 6 s; a\.wav ends at 4\.00 s\);"),
    ],
)
def test_segment_that_leaves_its_file_is_named_by_its_line(corpus, row, problem):
    """Symptom: milliseconds for seconds passed `check`, and an end beyond the file shortened the clip."""
    with pytest.raises(
        CorpusError, match=rf"corpus c: 1 segment extends beyond its file: {problem} give times in seconds"
    ):
        refuse(corpus("0,1", row))


def test_many_are_counted(corpus):
    rows = [f"{number},{number + 1}" for number in range(4, 14)]
    with pytest.raises(
        CorpusError,
        match=r"corpus c: 10 segments extend beyond their files: data/t\.csv, line 2 \(start 4 s.*, line 6 \(.*\) and 5 more; give",
    ):
        refuse(corpus(*rows))


def test_lengths_are_read_once_and_again_when_the_file_changes(corpus, monkeypatch):
    read: list[str] = []
    measure = bounds.declared_seconds
    monkeypatch.setattr(bounds, "declared_seconds", lambda path: read.append(path.name) or measure(path))
    refuse(corpus("0,1", "1,2"))
    refuse(corpus("0,4"))
    Path("data/a.wav").rename("data/b.wav")
    Path("data/b.wav").rename("data/a.wav")
    refuse(corpus("0,4"))
    assert read == ["a.wav"]
    soundfile.write("data/a.wav", np.zeros(16000), 16000)
    with pytest.raises(CorpusError, match=r"a\.wav ends at 1\.00 s"):
        refuse(corpus("0,4"))
    assert read == ["a.wav", "a.wav"]


def test_header_that_is_wrong_refuses_nothing(corpus, monkeypatch):
    """Formats without a length have it estimated: before a file is refused it is read through."""
    monkeypatch.setattr(bounds, "declared_seconds", lambda path: 2.0)
    refuse(corpus("0,4"))
    with pytest.raises(CorpusError, match=r"end 5 s; a\.wav ends at 4\.00 s"):
        refuse(corpus("0,5"))


def test_file_that_cannot_be_read_is_left_to_its_row(corpus):
    config = corpus("0,4")
    Path("data/a.wav").write_bytes(b"RIFF")
    refuse(config)


def test_corpora_without_segments_have_no_file_opened(corpus, monkeypatch):
    monkeypatch.setattr(bounds, "declared_seconds", lambda path: pytest.fail("was opened"))
    refuse(corpus(","))
