from __future__ import annotations

from collections import Counter

import pytest

from emoadapt.corpora.ravdess import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import describe_source, read_labels, read_utterances


def ravdess(root, **values):
    return Config(importer="ravdess", root=str(root), **values)


def test_name_tells_speaker_sex_statement_and_emotion(make_tree):
    root = make_tree(["Actor_01/03-01-05-02-01-01-01.wav", "Actor_24/03-01-08-01-02-02-24.wav"])
    first, second = read_utterances("r", ravdess(root))
    assert (first.utterance_id, first.speaker, first.sex) == ("r/Actor_01/03-01-05-02-01-01-01", "01", "male")
    assert (first.language, first.transcript) == ("en", "Kids are talking by the door")
    assert (second.speaker, second.sex, second.transcript) == ("24", "female", "Dogs are sitting by the door")
    assert [label.label for label in read_labels("r", ravdess(root))] == ["anger", "surprise"]


def test_song_and_silent_video_are_left_out(make_tree):
    root = make_tree(["03-02-03-01-01-01-01.wav", "02-01-03-01-01-01-01.mp4", "01-01-04-01-01-01-01.mp4"])
    assert [u.media for u in read_utterances("r", ravdess(root))] == ["01-01-04-01-01-01-01.mp4"]


def test_song_is_chosen_by_its_channel(make_tree):
    root = make_tree(["s/03-02-06-01-01-01-17.wav", "s/03-01-06-01-01-01-17.wav"])
    assert [u.media[2:7] for u in read_utterances("r", ravdess(root, channels=("song",)))] == ["03-02"]
    both = ravdess(root, channels=("speech", "song"))
    assert [u.media[2:7] for u in read_utterances("r", both)] == ["03-01", "03-02"]
    assert [label.label for label in read_labels("r", both)] == ["fear", "fear"]


@pytest.mark.parametrize(("modalities", "kept"), [(("audio",), "03"), (("audio", "video"), "01")])
def test_performance_with_and_without_picture_counts_once(make_tree, modalities, kept):
    root = make_tree(["v/01-01-03-01-01-01-01.mp4", "a/03-01-03-01-01-01-01.wav", "a/03-01-04-01-01-01-01.wav"])
    config = ravdess(root, modalities=modalities)
    assert sorted(u.media.split("/")[1][:8] for u in read_utterances("r", config)) == sorted(
        [f"{kept}-01-03", "03-01-04"]
    )
    assert sorted(label.label for label in read_labels("r", config)) == ["happiness", "sadness"]


def test_kaggle_copy_that_holds_every_clip_twice_is_refused(make_tree):
    clip = "Actor_01/03-01-03-01-01-01-01.wav"
    root = make_tree([clip, f"audio_speech_actors_01-24/{clip}"])
    with pytest.raises(CorpusError, match=r"the same recording twice: Actor_01/.* = audio_speech.*; remove one copy"):
        read_utterances("r", ravdess(root))


@pytest.mark.parametrize("name", ["take1.wav", "03-01-09-01-01-01-01.wav", "03-01-01-01-01-01-25.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like RAVDESS .*: {name}; move"):
        read_utterances("r", ravdess(make_tree([name])))


def test_real_corpus_has_1440_clips_of_24_speakers(real_data):
    config = ravdess(real_data / "ravdess")
    utterances = read_utterances("ravdess", config)
    assert set(Counter(u.speaker for u in utterances).values()) == {60}
    assert Counter(u.sex for u in utterances) == {"male": 720, "female": 720}
    assert {u.speaker for u in utterances} == {f"{i:02d}" for i in range(1, 25)}
    classes = ("calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
    assert Counter(label.label for label in read_labels("ravdess", config)) == {
        "neutral": 96,
        **dict.fromkeys(classes, 192),
    }


def test_attributes_are_derived_from_emotion_and_intensity(make_tree):
    names = [
        "03-01-05-02-01-01-01.wav",
        "03-01-05-01-01-01-01.wav",
        "03-01-01-01-01-01-01.wav",
        "03-01-02-02-01-01-01.wav",
    ]
    root = make_tree(names)
    assert all(label.valence is None for label in read_labels("r", ravdess(root)))
    config = ravdess(root, attributes="derived")
    found = {
        label.utterance_id[2:]: (label.valence, label.arousal, label.dominance) for label in read_labels("r", config)
    }
    # Angry in Table 4 of Russell & Mehrabian (1977): pleasure -.51, arousal .59, dominance .25.
    assert found["03-01-05-02-01-01-01"] == (-0.51, 0.59, 0.25)
    assert found["03-01-05-01-01-01-01"] == (-0.255, 0.295, 0.125)
    assert found["03-01-01-01-01-01-01"] == (0.0, 0.0, 0.0)
    assert found["03-01-02-02-01-01-01"] == (None, None, None), "calm is no term of the table"


def test_derived_attributes_are_named_as_such(make_tree):
    root = make_tree(["03-01-05-02-01-01-01.wav"])
    assert describe_source(ravdess(root)) == "acted (intended) emotion"
    assert "attributes derived from it" in describe_source(ravdess(root, attributes="derived"))
