from __future__ import annotations

from collections import Counter

import pytest

from emoadapt.corpora.emodb import SEXES, TEXTS, Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import read_labels, read_utterances


def emodb(root):
    return Config(importer="emodb", root=str(root))


def test_name_gives_speaker_text_and_emotion(make_tree):
    root = make_tree(["wav/03a01Fa.wav", "wav/16b10Lb.wav", "wav/erkennung.txt"])
    happy, bored = read_utterances("e", emodb(root))
    assert (happy.utterance_id, happy.speaker, happy.sex, happy.language) == ("e/wav/03a01Fa", "03", "male", "de")
    assert happy.transcript == "Der Lappen liegt auf dem Eisschrank."
    assert (bored.speaker, bored.sex) == ("16", "female")
    assert bored.transcript == "Die wird auf dem Platz sein, wo wir sie immer hinlegen."
    assert [label.label for label in read_labels("e", emodb(root))] == ["happiness", "boredom"]


def test_every_letter_is_the_german_word_of_its_emotion(make_tree):
    german = {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    }
    root = make_tree([f"08a02{letter}a.flac" for letter in german])
    labels = {label.utterance_id[-2]: label.label for label in read_labels("e", emodb(root))}
    assert labels == german


def test_five_women_five_men_and_ten_texts():
    assert Counter(SEXES.values()) == {"female": 5, "male": 5}
    assert len(set(TEXTS.values())) == 10


@pytest.mark.parametrize("name", ["04a01Fa.wav", "03a03Fa.wav", "03a01Xa.wav", "copy of 03a01Fa.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like EmoDB .*: {name}; move"):
        read_utterances("e", emodb(make_tree([name])))


def test_real_part_has_339_clips_of_four_classes(real_data):
    config = emodb(real_data / "emodb")
    utterances = read_utterances("emodb", config)
    assert len(utterances) == 339
    assert {u.speaker for u in utterances} == set(SEXES)
    counts = Counter(label.label for label in read_labels("emodb", config))
    assert counts == {"anger": 127, "happiness": 71, "neutral": 79, "sadness": 62}
