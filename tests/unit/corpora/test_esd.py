from __future__ import annotations

import pytest

from emoadapt.corpora.esd import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances

CLIPS = ["0011/Neutral/0011_000001.wav", "0011/Angry/0011_000371.wav", "0015/Happy/0015_000760.wav", "0004/Sad/0004_001051.wav"]  # fmt: skip
ENGLISH = "0011_000001\tThe nine the eggs, I keep.\tNeutral\r\n0011_000371\tHe went.\tAngry\r\n"
MANDARIN = "0004_001051\t\u6253\u8fdc\u4e00\u770b\uff0c\t\u4f24\u5fc3\n"


@pytest.fixture
def esd(make_tree):
    root = make_tree(CLIPS)
    (root / "0011/0011.txt").write_text(ENGLISH)
    (root / "0015/0015.txt").write_bytes("0015_000760\tIt isn\u2019t.\tHappy\n".encode("cp1252"))
    (root / "0004/0004.txt").write_bytes(MANDARIN.encode("gb18030"))
    return lambda **values: Config(importer="esd", root=str(root), **values)


def test_speaker_language_words_and_emotion(esd):
    utterances = read_utterances("e", esd())
    assert [(u.speaker, u.sex, u.language, u.transcript) for u in utterances] == [
        ("0004", "male", "zh", "\u6253\u8fdc\u4e00\u770b\uff0c"),
        ("0011", "male", "en", "He went."),
        ("0011", "male", "en", "The nine the eggs, I keep."),
        ("0015", "female", "en", "It isn\u2019t."),
    ]
    assert utterances[1].utterance_id == "e/0011/Angry/0011_000371"
    assert [x.label for x in read_labels("e", esd())] == ["sadness", "anger", "neutral", "happiness"]
    assert describe_sources("e", esd()) is not None


def test_number_tells_the_part_of_a_flat_copy(esd, make_tree):
    """Sentence 1 of a block is dev; number 371, sentence 21 of the angry ones, is test; 760 is sentence 60 of the happy ones."""
    assert [u.split for u in read_utterances("e", esd())] == ["dev", "test", "dev", "train"]
    numbers = (20, 21, 50, 51, 350, 351)
    make_tree([f"0020/Surprise/0020_{number:06}.wav" for number in numbers])
    assert [u.split for u in read_utterances("e", esd()) if u.speaker == "0020"] == [
        "dev", "test", "test", "train", "train", "dev",
    ]  # fmt: skip


def test_folder_tells_the_part_where_there_is_one(make_tree):
    parts = ("train", "evaluation", "test")
    root = make_tree([f"ESD/0012/Happy/{part}/0012_00{n}.wav" for n, part in enumerate(parts, 1000)])
    config = Config(importer="esd", root=str(root))
    assert [u.split for u in read_utterances("e", config)] == ["dev", "test", "train"]
    (root / "ESD/0012/0012.txt").write_bytes("\ufeff0012_001000\tA.\tHappy\n".encode("utf-16-le"))
    assert [u.transcript for u in read_utterances("e", config)] == [None, None, "A."]


def test_languages_are_chosen(esd):
    assert {u.speaker for u in read_utterances("e", esd(languages=("en",)))} == {"0011", "0015"}
    assert {u.speaker for u in read_utterances("e", esd(languages=("zh",)))} == {"0004"}


def test_what_was_passed_over_is_said(esd, tmp_path):
    assert read_notes("e", esd()) == []
    (tmp_path / "corpus/0015/0015.txt").write_text("0015_000760 no tabs here\n0015_000761\tA.\tHappy\n")
    assert read_notes("e", esd(languages=("en",))) == [
        "1 of the 5 rows of the texts is left out (not `clip<tab>words<tab>emotion`): 0015: 0015_000760 no tabs here",
        "1 of the 5 rows of the texts is left out (of a language that is not wanted): 0004_001051",
        "1 of the 5 rows of the texts is left out (no media file): 0015_000761",
        "1 clips have no words in a text: 0015_000760",
    ]


def test_faults_are_refused_in_a_sentence(esd, make_tree, tmp_path):
    make_tree(["copy/0011/Neutral/0011_000001.flac"])
    with pytest.raises(CorpusError, match=r"the same recording twice: .*0011_000001\.wav = copy/0011"):
        read_utterances("e", esd())
    (tmp_path / "corpus/0011/0011.txt").write_bytes(b"\x81\x8d")
    (tmp_path / "corpus/copy/0011/Neutral/0011_000001.flac").unlink()
    with pytest.raises(CorpusError, match=r"0011\.txt is no text in utf-8-sig or cp1252; restore"):
        read_utterances("e", esd())
    (tmp_path / "corpus/0011/0011.txt").unlink()
    make_tree(["0011/Neutral/0012_000001.wav"])
    with pytest.raises(CorpusError, match=r"not named like ESD .*: 0011/Neutral/0012_000001\.wav"):
        read_utterances("e", esd())
