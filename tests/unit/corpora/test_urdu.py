from __future__ import annotations

from collections import Counter

import pytest

from emoadapt.corpora.urdu import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import read_labels, read_utterances


def urdu(root):
    return Config(importer="urdu", root=str(root))


def test_name_gives_speaker_sex_and_emotion(make_tree):
    config = urdu(
        make_tree(["Angry/SM1_F01_A12.wav", "Happy/SF1_F5_H05.wav", "Neutral/SM5_F9_N037.wav", "Sad/SM24_F7_S019.wav"])
    )
    assert [(u.speaker, u.sex, u.language) for u in read_utterances("u", config)] == [
        ("SM1", "male", "ur"),
        ("SF1", "female", "ur"),
        ("SM5", "male", "ur"),
        ("SM24", "male", "ur"),
    ]
    assert [x.label for x in read_labels("u", config)] == ["anger", "happiness", "neutral", "sadness"]


@pytest.mark.parametrize("name", ["SX1_F01_A12.wav", "SM1_F01_B12.wav", "SM1_A12.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like URDU-Dataset .*: {name}; move"):
        read_utterances("u", urdu(make_tree([name])))


def test_real_corpus_has_400_clips_of_four_classes(real_data):
    config = urdu(real_data / "urdu")
    utterances = read_utterances("urdu", config)
    assert len(utterances) == 400
    speakers = Counter(u.speaker for u in utterances)
    assert len(speakers) == 29 and speakers.most_common(1) == [("SM5", 80)]
    labels = read_labels("urdu", config)
    assert Counter(x.label for x in labels) == dict.fromkeys(("anger", "happiness", "neutral", "sadness"), 100)
    # The folder a clip lies in says the same as its name.
    folders = {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness"}
    assert all(folders[u.media.split("/")[0]] == x.label for u, x in zip(utterances, labels, strict=True))
    # Why the docstring warns: 72 of the 100 neutral clips are one man's.
    neutral = Counter(u.speaker for u, x in zip(utterances, labels, strict=True) if x.label == "neutral")
    assert neutral["SM5"] == 72
