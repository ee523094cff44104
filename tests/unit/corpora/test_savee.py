from __future__ import annotations

import pytest

from emoadapt.corpora.savee import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import read_labels, read_utterances

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def savee(root, **values):
    return Config(importer="savee", root=str(root), **values)


@pytest.mark.parametrize("layout", ["AudioData/DC/{}15.wav", "ALL/DC_{}15.wav"])
def test_both_layouts_tell_speaker_and_emotion(make_tree, layout):
    config = savee(make_tree([layout.format(code) for code in EMOTIONS]))
    utterances = read_utterances("s", config)
    assert {(u.speaker, u.sex, u.language) for u in utterances} == {("DC", "male", "en")}
    labels = {x.utterance_id.rpartition("/")[2].removeprefix("DC_")[:-2]: x.label for x in read_labels("s", config)}
    assert labels == EMOTIONS


@pytest.mark.parametrize(
    ("modalities", "kept"), [(("audio",), "AudioData/JK/sa01.wav"), (("video",), "AudioVisualClip/JK/sa1.avi")]
)
def test_sound_or_picture_by_modality(make_tree, modalities, kept):
    root = make_tree(["AudioData/JK/sa01.wav", "AudioVisualClip/JK/sa1.avi"])
    assert [u.media for u in read_utterances("s", savee(root, modalities=modalities))] == [kept]


@pytest.mark.parametrize("name", ["DC/x01.wav", "AB/a01.wav", "DC/a001.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like SAVEE .*: {name}; move"):
        read_utterances("s", savee(make_tree([name])))
