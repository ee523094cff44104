"""Rows, files and clips that no task reads."""

import polars as pl
import pytest

from emoadapt.config import load_study
from emoadapt.listing.accounts import NO_MEDIA, Account
from emoadapt.reporting.left_out import list_unplaced, list_unread


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "x"):
        (tmp_path / f"data/{name}.wav").write_bytes(b"RIFF")
    (tmp_path / "data/labels.csv").write_text("media,label\na.wav,joy\nb.wav,fear\n")
    mine = {"importer": "csv", "root": "data", "file": "labels.csv", "columns": {"media": "media", "label": "label"}}
    return load_study({"study": "s", "corpora": {"mine": mine}, "features": {"also": ["egemaps"]}})


def test_a_media_file_that_no_table_lists_and_rows_without_a_clip_are_counted(study, monkeypatch):
    """Symptom: only `emoadapt check` and `new-study` spoke of it."""
    media = "Corpus mine: 1 media file below its root belongs to no clip. `emoadapt check` names it."
    assert list_unread(study) == [media]
    account = Account("t.tsv", 4, 2, {NO_MEDIA: ["c", "d"]})
    monkeypatch.setattr("emoadapt.reporting.left_out.read_account", lambda *_: account)
    rows = "Corpus mine: 2 rows of its tables are left out (no media file). `emoadapt check` names them."
    assert list_unread(study) == [rows, media]


def test_nothing_is_said_where_all_belongs_to_clips(study, tmp_path):
    (tmp_path / "data/x.wav").unlink()
    (tmp_path / "data/labels.csv").write_text("media,label\na.wav,joy\nb.wav,fear\n")
    assert list_unread(study) == []


def test_a_corpus_that_is_gone_is_not_counted_as_complete(study, tmp_path):
    (tmp_path / "data").rename(tmp_path / "away")
    (said,) = list_unread(study)
    assert said.startswith("Corpus mine: it could not be read when this page was written")


def test_clips_in_no_part_are_named_once_for_each_task():
    rows = [("a", "mine: label boredom 3"), ("a", None), ("a", "mine: label boredom 3"), ("b", "none"), ("c", None)]
    said = list_unplaced(pl.DataFrame(rows, ["task", "left_out"], orient="row"))
    assert len(said) == 1 and said[0].startswith(
        "Task a: clips that are in no part, by reason: mine: label boredom 3. "
    )
