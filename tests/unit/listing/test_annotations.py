from __future__ import annotations

import re

import pytest

from emoadapt.errors import CorpusError
from emoadapt.listing.annotations import (
    choose_recordings,
    find_annotation,
    find_clips,
    map_code,
    parse_number,
    parse_sex,
    read_json,
    read_lines,
    read_table,
    refuse_unannotated,
)
from emoadapt.listing.emotions import EMOTIONS, SENTIMENTS, count_votes, name_emotion
from emoadapt.listing.names import parse_known

NAME = re.compile(r"(?:.*/)?(?P<clip>c\d+)\.\w+")


@pytest.mark.parametrize(
    ("word", "name"),
    [("Angry", "anger"), (" Happy", "happiness"), ("joy", "happiness"), ("Neutral", "neutral"), ("Excited", "excitement"),
     ("Other-confused", "other"), ("Neutral state", "neutral"), ("Surprise", "surprise"), ("Concerned", None), ("", None)],
)  # fmt: skip
def test_words_of_raters_become_our_names(word, name):
    assert name_emotion(word) == name


def test_votes_are_counted_and_shared_out():
    votes, soft = count_votes(["anger", "other", "anger", "anger"])
    assert votes == {"anger": 3, "other": 1}
    assert soft == {"anger": 0.75, "other": 0.25}
    assert count_votes([]) == (None, None)
    assert not set(SENTIMENTS) - {"neutral"} & set(EMOTIONS)


def test_names_are_matched_and_others_refused(make_tree):
    root = make_tree(["b/c2.wav", "a/c1.wav", "a/extra.wav", "away/x.wav"])
    found = find_clips("n", root, NAME, "Corpus (c1.wav)", below=("a", "b"), ignore=lambda path: "extra" in path)
    assert [path for path, _ in found] == ["a/c1.wav", "b/c2.wav"]
    with pytest.raises(
        CorpusError, match=r"corpus n: not named like Corpus \(c1\.wav\): a/extra\.wav, away/x\.wav; move"
    ):
        find_clips("n", root, NAME, "Corpus (c1.wav)")


@pytest.mark.parametrize(("modalities", "kept"), [(("audio",), "c1.wav"), (("audio", "video"), "c1.avi")])
def test_one_recording_of_two_kinds_is_kept(modalities, kept):
    clips = [(path, NAME.fullmatch(path)) for path in ("c1.avi", "c1.wav", "c2.wav")]
    assert [path for path, _ in choose_recordings("n", clips, modalities)] == [kept, "c2.wav"]


def test_copies_in_two_folders_are_refused():
    clips = [(path, NAME.fullmatch(path)) for path in ("a/c1.wav", "b/c1.wav", "b/c2.wav")]
    with pytest.raises(CorpusError, match=r"corpus n: the same recording twice: a/c1\.wav = b/c1\.wav; remove"):
        choose_recordings("n", clips, ("audio",))


def test_tables_are_read_by_their_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufeffB, a ,c\r\n1,"x, y",3\r\n\r\n4,,\r\n', encoding="utf-8")
    assert read_table(path, "n", ("a", "b")) == [("x, y", "1"), ("", "4")]
    assert read_table(path, "n", ("c",)) == [("3",), ("",)]
    with pytest.raises(CorpusError, match=r"corpus n: .*t\.csv has no column d; restore"):
        read_table(path, "n", ("a", "d"))
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(
        CorpusError, match=r"corpus n: .*t\.csv, line 2: not UTF-8 text .* restore the corpus's own table"
    ):
        read_table(path, "n", ("a",))
    path.write_text("a,b,A\n1,2,3\n")
    with pytest.raises(CorpusError, match=r"corpus n: .*t\.csv has more than one column a; restore"):
        read_table(path, "n", ("a",))


def test_published_table_with_a_lone_quotation_mark_or_a_short_row_is_refused(tmp_path):
    """Symptom: rows up to the next quotation mark were cells of one, and missing cells were taken for empty ones."""
    path = tmp_path / "t.csv"
    path.write_text('clip,text\nc1,fine\nc2,"oh\nc3,no\nc4,go"\n')
    with pytest.raises(
        CorpusError, match=r"corpus n: .*t\.csv, lines 3 to 5: one cell spans .*; restore the corpus's own"
    ):
        read_table(path, "n", ("clip",))
    path.write_text("clip,text,label\nc1,fine,a\nc2,b\n")
    with pytest.raises(CorpusError, match=r"t\.csv, line 3: 2 cells under 3 columns; restore"):
        read_table(path, "n", ("clip", "label"))


def test_broken_files_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "j.json").write_text("[1]")
    with pytest.raises(CorpusError, match=r"j\.json cannot be read \(not an object\)"):
        read_json(tmp_path / "j.json", "n")
    (tmp_path / "j.json").write_text("{")
    with pytest.raises(CorpusError, match=r"j\.json cannot be read"):
        read_json(tmp_path / "j.json", "n")
    (tmp_path / "j.json").write_text('{"c1": {"a": 1}, "c2": {}, "c1": {"a": 2}}')
    with pytest.raises(CorpusError, match=r"j\.json cannot be read \(it holds c1 more than once\)"):
        read_json(tmp_path / "j.json", "n")
    with pytest.raises(CorpusError, match=r"nowhere\.txt is missing"):
        read_lines(tmp_path / "nowhere.txt", "n")
    with pytest.raises(
        CorpusError, match=r"corpus n: a\.txt or b\.txt is missing under .*one; .*\(https://x\).*annotations"
    ):
        find_annotation("n", [tmp_path / "one", tmp_path], ("a.txt", "b.txt"), "https://x")


def test_lines_end_at_line_ends_alone(tmp_path):
    """Symptom: a transcript was cut off at an ellipsis, which is a line end of Unicode where it is read as Latin-1."""
    (tmp_path / "t.txt").write_bytes(b"Ses01 [1-2]: well\x85 no\r\n second \n\nlast\n")
    assert read_lines(tmp_path / "t.txt", "n", encoding="latin-1") == ["Ses01 [1-2]: well\x85 no", "second", "", "last"]


def test_odd_cells_are_nulls():
    assert [parse_number(text) for text in ("2.5", " 3 ", "NaN", "", None, "x")] == [2.5, 3.0, None, None, None, None]
    assert [parse_sex(text) for text in ("Male", "f", "Unknown", None)] == ["male", "female", None, None]
    assert [parse_known(text) for text in ("12", "Unknown", "")] == ["12", None, None]


def test_codes_and_clips_that_are_not_the_corpus_s_are_named(tmp_path):
    assert map_code("n", tmp_path, {"X": None}, "X", "c1") is None
    with pytest.raises(CorpusError, match=r"the label 'Q' of c1 is none of X; restore"):
        map_code("n", tmp_path, {"X": None}, "Q", "c1")
    refuse_unannotated("n", [], "t.csv")
    with pytest.raises(CorpusError, match=r"corpus n: 2 clips are not in t\.csv: a, b; take it from the same release"):
        refuse_unannotated("n", ["a", "b"], "t.csv")
