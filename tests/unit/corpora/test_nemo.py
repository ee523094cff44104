from __future__ import annotations

import pytest

from emoadapt.corpora.nemo import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances

TABLE = """file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage
SB0_anger_01.wav\tanger\tCiągle pada deszcz.\tciągle pada deszcz\tSB0\tfemale\t21
SB0_surprised_02.wav\tsurprised\tNaprawdę?\tnaprawdę\tSB0\tfemale\t21
KL1_neutral_01.wav\tneutral\tCiągle pada deszcz.\tciągle pada deszcz\tKL1\tmale\t30
KL1_fear_09.wav\tfear\tUciekaj!\tuciekaj\tKL1\tmale\t30
"""


@pytest.fixture
def nemo(make_tree):
    root = make_tree([f"samples/{name}.wav" for name in ("SB0_anger_01", "SB0_surprised_02", "KL1_neutral_01")])
    (root / "data.tsv").write_text(TABLE, encoding="utf-8")
    return lambda **values: Config(importer="nemo", root=str(root), **values)


def test_table_tells_speaker_sex_words_and_emotion(nemo):
    assert [(u.media, u.speaker, u.sex, u.language, u.transcript) for u in read_utterances("n", nemo())] == [
        ("samples/KL1_neutral_01.wav", "KL1", "male", "pl", "Ciągle pada deszcz."),
        ("samples/SB0_anger_01.wav", "SB0", "female", "pl", "Ciągle pada deszcz."),
        ("samples/SB0_surprised_02.wav", "SB0", "female", "pl", "Naprawdę?"),
    ]
    assert [x.label for x in read_labels("n", nemo())] == ["neutral", "anger", "surprise"]
    assert describe_sources("n", nemo()) is not None


def test_missing_clips_are_counted_and_others_refused(nemo, make_tree, tmp_path):
    assert read_notes("n", nemo()) == ["1 of the 4 rows of data.tsv is left out (no media file): KL1_fear_09"]
    make_tree(["samples/KL1_sadness_01.wav"])
    with pytest.raises(CorpusError, match=r"1 clips are not in .*data\.tsv: samples/KL1_sadness_01\.wav"):
        read_utterances("n", nemo())
    (tmp_path / "corpus/samples/KL1_sadness_01.wav").unlink()
    (tmp_path / "corpus/data.tsv").write_text(TABLE.replace("\tneutral\t", "\tboredom\t"))
    with pytest.raises(CorpusError, match=r"the label 'boredom' of KL1_neutral_01 is none of"):
        read_labels("n", nemo())
    (tmp_path / "corpus/data.tsv").rename(tmp_path / "data.tsv")
    assert len(read_utterances("n", nemo())) == 3
    (tmp_path / "data.tsv").unlink()
    with pytest.raises(CorpusError, match=r"data\.tsv is missing under .*https://github\.com/amu-cai/nEMO"):
        read_utterances("n", nemo())
