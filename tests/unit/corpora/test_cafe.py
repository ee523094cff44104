from __future__ import annotations

import pytest

from emoadapt.corpora.cafe import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import read_labels, read_utterances

CLIPS = ["Colère/Faible/01-C-1-1.wav", "Colère/Fort/02-C-2-6.wav", "Neutre/12-N-1-3.wav", "Joie/Fort/03-J-2-1.wav"]


def cafe(root, **values):
    return Config(importer="cafe", root=str(root), **values)


def test_name_gives_actor_sex_sentence_and_emotion(make_tree):
    config = cafe(make_tree(CLIPS))
    utterances = read_utterances("c", config)
    assert [(u.speaker, u.sex, u.language) for u in utterances] == [
        ("01", "male", "fr"),
        ("02", "female", "fr"),
        ("03", "male", "fr"),
        ("12", "female", "fr"),
    ]
    assert utterances[1].transcript == "Six ours aimants domestiqués"
    assert [x.label for x in read_labels("c", config)] == ["anger", "anger", "happiness", "neutral"]


def test_every_letter_is_the_french_word_of_its_emotion(make_tree):
    french = {
        "C": "anger",
        "D": "disgust",
        "J": "happiness",
        "N": "neutral",
        "P": "fear",
        "S": "surprise",
        "T": "sadness",
    }
    config = cafe(make_tree([f"01-{letter}-1-1.aiff" for letter in french]))
    assert {x.utterance_id[5]: x.label for x in read_labels("c", config)} == french


@pytest.mark.parametrize(("wanted", "actors"), [(("mild",), ["01", "12"]), (("strong",), ["02", "03", "12"])])
def test_intensities_are_chosen_and_neutral_stays(make_tree, wanted, actors):
    utterances = read_utterances("c", cafe(make_tree(CLIPS), intensities=wanted))
    assert sorted(u.speaker for u in utterances) == actors


@pytest.mark.parametrize("name", ["13-C-1-1.wav", "01-X-1-1.wav", "01-C-3-1.wav", "01-C-1-7.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like CaFE .*: {name}; move"):
        read_utterances("c", cafe(make_tree([name])))


def test_both_versions_at_once_are_refused(make_tree):
    with pytest.raises(CorpusError, match=r"the same recording twice: 192k/01-C-1-1\.aiff = 48k/01-C-1-1\.wav"):
        read_utterances("c", cafe(make_tree(["48k/01-C-1-1.wav", "192k/01-C-1-1.aiff"])))
