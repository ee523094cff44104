from __future__ import annotations

import pytest

from emoadapt.corpora.tess import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import read_labels, read_utterances


def tess(root):
    return Config(importer="tess", root=str(root))


def test_name_gives_speaker_word_and_emotion(make_tree):
    config = tess(
        make_tree(
            ["OAF_Fear/OAF_back_fear.wav", "OAF_neutral/OA_bite_neutral.wav", "OAF_Pleasant_surprise/OAF_back_ps.wav",
             "YAF_angry/YAF_youth_angry.wav", "YAF_happy/YAF_witch_happy.wav", "YAF_sad/YAF_walk_sad.wav",
             "YAF_disgust/YAF_bar_disgust.wav"]
        )
    )  # fmt: skip
    utterances = read_utterances("t", config)
    assert [u.speaker for u in utterances] == ["OAF"] * 3 + ["YAF"] * 4
    assert {(u.sex, u.language) for u in utterances} == {("female", "en")}
    assert utterances[2].transcript == "Say the word bite"
    assert [x.label for x in read_labels("t", config)] == [
        "fear", "surprise", "neutral", "anger", "disgust", "happiness", "sadness"
    ]  # fmt: skip


def test_kaggle_copy_that_holds_every_clip_twice_is_refused(make_tree):
    clip = "YAF_sad/YAF_back_sad.wav"
    with pytest.raises(CorpusError, match=r"the same recording twice: TESS set data/YAF_sad.* = YAF_sad"):
        read_utterances("t", tess(make_tree([clip, f"TESS set data/{clip}"])))


@pytest.mark.parametrize("name", ["XAF_back_sad.wav", "OAF_back_calm.wav", "OAF_sad.wav"])
def test_file_named_otherwise_is_refused(make_tree, name):
    with pytest.raises(CorpusError, match=rf"not named like TESS .*: {name}; move"):
        read_utterances("t", tess(make_tree([name])))
