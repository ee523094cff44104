"""Names in two Unicode forms, words for nobody, near misses; and both through every importer and the configuration."""

from __future__ import annotations

import unicodedata

import pytest

from emoadapt.config import Task
from emoadapt.corpora.base import make_utterance_id
from emoadapt.corpora.csv import Config as CsvCorpus
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.names import UNKNOWN, find_on_disk, normalise_name, note_case_twins, parse_known, suggest_name
from emoadapt.listing.reading import note_names, read_labels, read_utterances

PEOPLE = ("José", "Zoë", "Jörg", "Åsa")


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def table(make_tree):
    def make(text, media=("a.wav", "b.wav", "c.wav"), **values):
        root = make_tree(media)
        (root / "t.csv").write_text(text, encoding="utf-8")
        columns = {
            "media": "file",
            "speaker": "who",
            "label": "emotion",
            "split": "part",
            "sex": "sex",
            "transcript": "words",
        }
        header = text.splitlines()[0].split(",")
        columns = {ours: theirs for ours, theirs in columns.items() if theirs in header}
        return CsvCorpus(importer="csv", root=str(root), file="t.csv", columns=columns, **values)

    return make


@pytest.mark.parametrize("name", PEOPLE)
def test_both_unicode_forms_and_blanks_are_one_name(name):
    assert nfd(name) != name
    assert normalise_name(nfd(name)) == normalise_name(f" {name}\u00a0") == name


WORDS = [
    "nan",
    "NaN",
    "NA",
    "n/a",
    "N/A",
    "N.A.",
    "n.a",
    "<NA>",
    "#N/A",
    "unk",
    "<UNK>",
    "<unknown>",
    "None",
    "NULL",
    "-",
    "?",
    "Unknown",
]


@pytest.mark.parametrize("word", [*WORDS, "", "  "])
def test_words_for_unknown_speakers_become_null(word, table):
    assert parse_known(word) is None
    first, second = read_utterances("c", table(f"file,who,sex\na.wav,{word},{word}\nb.wav,Ann,f\n"))
    assert (first.speaker, first.sex) == (None, None)
    assert (second.speaker, second.sex) == ("Ann", "female")


@pytest.mark.parametrize("word", WORDS)
def test_words_for_an_unknown_part_are_no_part(word, table):
    config = table(f"file,part,words\na.wav,{word},{word}\nb.wav,train,Well\n")
    first, second = read_utterances("c", config)
    assert (first.split, second.split) == (None, "train")
    assert f"1 part cell holds {word}, which means unknown" in read_notes("c", config)


def test_words_for_unknown_are_noted_with_their_cells(table):
    config = table("file,who,sex,words\na.wav,NA,-,nan\nb.wav,NA,f,nan\nc.wav,nan,f,Well\n")
    assert read_notes("c", config) == [
        "2 speaker cells hold NA, which means unknown",
        "1 speaker cell holds nan, which means unknown",
        "1 sex cell holds -, which means unknown",
    ]
    assert note_names(read_utterances("c", config)) == [
        "2 transcript cells hold nan, which counts as the words that are said"
    ]


def test_names_that_only_begin_like_an_unknown_one_are_kept():
    assert [parse_known(name) for name in ("Nan2", "N", "Nana", "unknown_3")] == ["Nan2", "N", "Nana", "unknown_3"]


def test_unknown_speakers_of_a_folder_become_null(make_tree):
    root = make_tree(["Unknown/a.wav", "Ann/b.wav"])
    config = FolderCorpus(importer="folder", root=str(root), speaker_pattern=r"^(?P<speaker>[^/]+)/")
    assert {u.speaker for u in read_utterances("c", config)} == {None, "Ann"}


def test_label_none_stays_a_label(table):
    """It may be a class; where it is none, it is refused or dropped with its count."""
    config = table("file,emotion\na.wav,none\nb.wav,\n")
    assert [label.label for label in read_labels("c", config)] == ["none", None]
    assert "none" in UNKNOWN


def test_speakers_labels_and_parts_are_in_one_form(table):
    rows = [f"a.wav,{nfd('José')},{nfd('ärgerlich')},{nfd('prüfung')}", "b.wav,José,ärgerlich,prüfung"]
    config = table("file,who,emotion,part\n" + "\n".join(rows) + "\n")
    utterances = read_utterances("c", config)
    assert [(u.speaker, u.split) for u in utterances] == [("José", "prüfung")] * 2
    assert [label.label for label in read_labels("c", config)] == ["ärgerlich"] * 2


def test_configured_names_are_in_the_same_form(table):
    rows = ["a.wav,José,freude", "b.wav,Ann,freude"]
    config = table("file,who,emotion\n" + "\n".join(rows) + "\n", speakers=[nfd("José")])
    assert [u.utterance_id for u in read_utterances("c", config)] == ["c/a"]
    task = Task.model_validate(
        {"corpus": "c", "classes": [nfd("ärger"), "freude "], "class_map": {nfd("zürnend"): nfd("ärger")},
         "split": {"by": "speakers", "dev": [nfd("Jörg")], "test": [" Ann"]}}
    )  # fmt: skip
    assert task.classes == ("ärger", "freude")
    assert task.class_map == {"zürnend": "ärger"}
    assert (task.split.dev, task.split.test) == (("Jörg",), ("Ann",))


@pytest.mark.parametrize(("in_table", "on_disk"), [(str, nfd), (nfd, str)])
def test_media_are_found_whatever_form_the_disk_has(table, in_table, on_disk):
    """A table written on Linux, files unpacked on a Mac, or the other way round."""
    config = table(f"file,emotion\n{in_table('Zoë/über.wav')},joy\nb.wav,\n", [on_disk("Zoë/über.wav"), "b.wav"])
    found, plain = sorted(read_utterances("c", config), key=lambda u: len(u.media), reverse=True)
    assert (found.media, plain.media) == (on_disk("Zoë/über.wav"), "b.wav")
    assert found.utterance_id == "c/Zoë/über"
    assert {label.utterance_id: label.label for label in read_labels("c", config)}["c/Zoë/über"] == "joy"


def test_media_in_no_unicode_form_are_missing(table):
    with pytest.raises(CorpusError, match=r"1 media file is missing .*über"):
        read_utterances("c", table("file,who\nüber.wav,Ann\n"))


def test_a_file_in_both_forms_is_refused_as_one_id(make_tree):
    root = make_tree(["Zoë.wav", nfd("Zoë.wav")])
    with pytest.raises(CorpusError, match=r"1 utterance id is not unique: c/Zoë"):
        read_utterances("c", FolderCorpus(importer="folder", root=str(root)))


def test_exact_names_are_not_looked_for(make_tree):
    root = make_tree(["Zoë.wav", nfd("Åsa.wav")])
    assert find_on_disk({"Zoë.wav", "Åsa.wav", "x.wav"}, root) == {"Åsa.wav": nfd("Åsa.wav")}


def test_ids_of_ascii_names_are_the_paths_themselves():
    assert make_utterance_id("c", " x/- Nan.wav") == "c/ x/- Nan"


def test_names_that_differ_by_case_alone_are_noted_with_counts(table):
    rows = ["a.wav,Anna,Train", "b.wav,anna,train", "c.wav,ANNA,dev", "d.wav,Eva,dev"]
    config = table("file,who,part\n" + "\n".join(rows) + "\n", ["a.wav", "b.wav", "c.wav", "d.wav"])
    (speakers,) = note_names(read_utterances("c", config))
    assert "speakers that differ by case alone" in speakers
    assert "(ANNA 1, Anna 1, anna 1)" in speakers
    assert note_case_twins("speakers", ["Anna", "Eva", None, "Anna"]) == []


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("tset", ("train", "dev", "test"), "test"),
        ("TRAIN", ("train",), "train"),
        ("test2", ("test", "test1"), None),
        ("s11", ("s1", "s12"), None),
        ("calm", ("anger", "neutral"), None),
        ("", ("test",), None),
    ],
)
def test_near_misses_are_suggested(word, known, meant):
    assert suggest_name(word, known) == meant
