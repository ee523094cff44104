from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.corpora.csv import Config
from emoadapt.errors import ConfigError, CorpusError
from emoadapt.listing.reading import annotation_files, read_labels, read_utterances


@pytest.fixture
def table(make_tree):
    """Write a table beside a.wav and x/b.wav, and return the corpus's section."""

    def make(text, columns, file="table.csv", encoding="utf-8", **values):
        root = make_tree(["a.wav", "x/b.wav"])
        (root / file).write_bytes(text.encode(encoding))
        return Config(importer="csv", root=str(root), file=file, columns=columns, **values)

    return make


ALL = {
    "media": "path",
    "start": "from",
    "end": "to",
    "speaker": "who",
    "sex": "gender",
    "language": "lang",
    "split": "set",
    "transcript": "words",
    "label": "emotion",
    "arousal": "aro",
    "valence": "val",
    "dominance": "dom",
}
ROWS = (
    "path,from,to,who,gender,lang,set,words,emotion,aro,val,dom,unused\n"
    './x/b.wav,0.5,2,S1,F,en,Train,"Well, well",Happy,4.5,5,3,?\n'
    "a.wav,,,Unknown,male,,,,,,,,\n"
    "\n"
    "x/b.wav,2,3.125,S1,female,en,Test1,Oh,Sad,1,-2e-1,3,?\n"
)


def test_all_columns_are_mapped_and_empty_cells_are_null(table):
    config = table(ROWS, ALL)
    a, b1, b2 = read_utterances("c", config)
    assert (a.utterance_id, a.media, a.start, a.end) == ("c/a", "a.wav", None, None)
    assert (a.speaker, a.sex, a.language, a.split, a.transcript) == (None, "male", None, None, None)
    assert (b1.utterance_id, b1.media, b1.start, b1.end) == ("c/x/b#0.50-2.00", "x/b.wav", 0.5, 2.0)
    assert (b1.speaker, b1.sex, b1.language, b1.split, b1.transcript) == ("S1", "female", "en", "Train", "Well, well")
    assert b2.utterance_id == "c/x/b#2.00-3.125"
    la, lb1, lb2 = read_labels("c", config)
    assert (la.label, la.arousal, la.valence, la.dominance) == (None, None, None, None)
    assert (lb1.utterance_id, lb1.label, lb1.arousal, lb1.valence) == ("c/x/b#0.50-2.00", "Happy", 4.5, 5.0)
    assert (lb2.label, lb2.valence) == ("Sad", -0.2)


def test_columns_that_are_not_mapped_are_not_read(table):
    config = table("file,label\na.wav,anger\n", {"media": "file"})
    assert read_labels("c", config)[0].label is None


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("file\tlabel\na.wav\ta,b\n", "t.tsv"),
        ("file\tlabel\na.wav\ta,b\n", "t.csv"),
        ("file;label\na.wav;a,b\n", "t.csv"),
        ('\ufefffile,label\r\na.wav,"a,b"\r\n', "t.csv"),
    ],
)
def test_separators_byte_order_mark_and_line_ends(table, text, file):
    config = table(text, {"media": "file", "label": "label"}, file)
    assert [(x.utterance_id, x.label) for x in read_labels("c", config)] == [("c/a", "a,b")]
    assert [str(path) for path in annotation_files(config)] == [f"{config.root}/{file}"]


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("+.5", 0.5), ("2.", 2), ("-2e-1", -0.2), ("1E3", 1000), (" 4 ", 4)]
)
def test_numbers_are_written_in_the_usual_ways(table, text, value):
    (label,) = read_labels("c", table(f"file,a\na.wav,{text}\n", {"media": "file", "arousal": "a"}))
    assert label.arousal == value


def test_missing_column_names_those_there_are(table):
    config = table("file,emo\na.wav,anger\n", {"media": "file", "label": "emotion"})
    with pytest.raises(
        CorpusError, match=r"no column emotion; did you mean emo\? There are file, emo; correct corpora\.c\.columns"
    ):
        read_utterances("c", config)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.wav,zero,1,", r"line 3: start is 'zero', not a number"),
        ("a.wav,nan,1,", r"line 3: start is 'nan', not a number \(a cell without a value must be empty\)"),
        ("a.wav,0,N/A,", r"line 3: end is 'N/A', not a number \(a cell without a value must be empty\)"),
        ("a.wav,3_4,,", r"line 3: start is '3_4', not a number; correct"),
        ("a.wav,0,\u0663,", r"line 3: end is '\u0663', not a number; correct"),
        ("a.wav,0,1e999,", r"line 3: end is '1e999', not a number; correct"),
        ("a.wav,0,1 2,", r"line 3: end is '1 2', not a number; correct"),
        ("a.wav,-1,1,", r"line 3: start is -1 s, before the beginning"),
        ("a.wav,2,1,", r"line 3: end \(1 s\) does not lie after start \(2 s\)"),
        (",0,1,", r"line 3: the media cell is empty"),
        ("a.wav,0,1,divers", r"line 3: sex is 'divers', allowed is female, male"),
        ("a.wav,0,1", r"line 3: 3 cells under 4 columns"),
        ("a.wav,0,1,f,x", r"line 3: 5 cells under 4 columns"),
    ],
)
def test_bad_row_is_named_by_its_line(table, row, problem):
    config = table(
        f"file,from,to,sex\nx/b.wav,0,1,m\n{row}\n", {"media": "file", "start": "from", "end": "to", "sex": "sex"}
    )
    with pytest.raises(CorpusError, match=problem):
        read_utterances("c", config)


def test_line_numbers_count_line_ends_inside_quotes(table):
    text = 'file,val,words\nx/b.wav,1,"oh\nno"\na.wav,high,\n'
    columns = {"media": "file", "valence": "val", "transcript": "words"}
    with pytest.raises(CorpusError, match=r"line 4: valence is 'high'"):
        read_labels("c", table(text, columns, quoting="multiline"))
    config = table(text.replace("high", "2"), columns, quoting="multiline")
    assert [u.transcript for u in read_utterances("c", config)] == [None, "oh\nno"]


LONE = 'path\temo\ttext\na.wav\tjoy\t"Oh no\nb.wav\tfear\tyes\nx/b.wav\tfear\tshe said "go away\n'


@pytest.mark.parametrize("columns", [{"media": "path"}, {"media": "path", "transcript": "text"}])
def test_lone_quotation_mark_swallows_no_rows(table, columns):
    """Symptom: of 16 clips of a table without quoting 12 were used, and `check` said "all is there"."""
    with pytest.raises(
        CorpusError,
        match=r"t\.tsv, lines 2 to 4: one cell spans these lines, because a quotation mark opens it in line 2 and the next one "
        r"stands in line 4; set corpora\.c\.quoting: none if the table is written without quoting",
    ):
        read_utterances("c", table(LONE, columns, "t.tsv"))


def test_table_without_quoting_keeps_its_quotation_marks(table):
    columns = {"media": "path", "transcript": "text", "label": "emo"}
    text = LONE.replace("b.wav\tfear\tyes\nx/", "x/")
    config = table(text, columns, "t.tsv", quoting="none")
    assert [u.transcript for u in read_utterances("c", config)] == ['"Oh no', 'she said "go away']
    assert [label.label for label in read_labels("c", config)] == ["joy", "fear"]


def test_table_that_is_missing_or_not_utf8(table):
    config = table("file\na.wav\n", {"media": "file"})
    with pytest.raises(CorpusError, match=r"nowhere\.csv: this table does not exist; correct corpora\.c\.file"):
        read_utterances("c", config.model_copy(update={"file": "nowhere.csv"}))
    config = table("file,text\na.wav,Tür\n", {"media": "file", "transcript": "text"}, encoding="latin-1")
    with pytest.raises(CorpusError, match=r"table\.csv, line 2: not UTF-8 text .*; save it as UTF-8"):
        read_utterances("c", config)


def test_media_column_has_to_be_mapped(table):
    with pytest.raises(ConfigError, match=r"corpora\.c\.columns: media is not mapped"):
        read_utterances("c", table("file\na.wav\n", {"label": "file"}))


def test_rows_without_a_file_and_repeated_rows_are_refused(table):
    with pytest.raises(CorpusError, match=r"1 media file is missing .*: x/c\.wav"):
        read_utterances("c", table("file\na.wav\nx/c.wav\n", {"media": "file"}))
    with pytest.raises(CorpusError, match=r"1 utterance id is not unique: c/a \(a\.wav\)"):
        read_utterances("c", table("file\na.wav\n./a.wav\n", {"media": "file"}))


def test_real_clips_have_49_rows_and_14_labels(real_data):
    config = Config(
        importer="csv",
        root=str(real_data / "clips"),
        file="clips.csv",
        columns={"media": "file", "speaker": "speaker", "label": "label", "language": "language"},
    )
    assert len(read_utterances("clips", config)) == 49
    assert sum(label.label is not None for label in read_labels("clips", config)) == 14


def test_a_missing_file_with_another_extension_is_named(table):
    with pytest.raises(
        CorpusError, match=r"missing under .*: x/b\.flac; x/b\.wav is there: another extension\? correct"
    ):
        read_utterances("c", table("file\na.wav\nx/b.flac\n", {"media": "file"}))
    with pytest.raises(
        CorpusError, match=r"x/b\.wav is there: set corpora\.c\.extension: .\.wav., or correct the paths"
    ):
        read_utterances("c", table("file\na.wav\nx/b\n", {"media": "file"}))


def test_an_absolute_path_below_the_root_is_answered_with_the_relative_one(table):
    config = table("file\na.wav\n", {"media": "file"})
    Path(config.root, "table.csv").write_text(f"file\n{config.root}/x/b.wav\n")
    with pytest.raises(CorpusError, match=r"outside its root .*; write x/b\.wav, or set the root higher up"):
        read_utterances("c", config)


def test_a_table_without_a_header_is_distinguished_from_one_without_a_column(table):
    with pytest.raises(CorpusError, match=r"does line 1 hold a clip \(a\.wav\)\? The table needs a header"):
        read_utterances("c", table("a.wav,joy\nx/b.wav,fear\n", {"media": "file"}))


def test_extension_is_added_to_names_that_lack_it(table):
    config = table("id,who\na,S1\nx/b,S2\n", {"media": "id", "speaker": "who"}, extension=".wav")
    assert [(u.utterance_id, u.media) for u in read_utterances("c", config)] == [("c/a", "a.wav"), ("c/x/b", "x/b.wav")]
