from __future__ import annotations

from collections import Counter

import pytest

from emoadapt.corpora.folder import Config
from emoadapt.errors import ConfigError, CorpusError
from emoadapt.listing.reading import annotation_files, read_labels, read_utterances


def folder(root, **values):
    return Config(importer="folder", root=str(root), **values)


def test_label_is_the_nearest_folder_and_speaker_the_group(make_tree):
    root = make_tree(["set1/Angry/SM1_a.wav", "set1/Sad/SF12_b.wav"])
    config = folder(root, label_from="parent", speaker_pattern=r"(?P<speaker>S[MF]\d+)_")
    assert [(u.utterance_id, u.speaker) for u in read_utterances("u", config)] == [
        ("u/set1/Angry/SM1_a", "SM1"),
        ("u/set1/Sad/SF12_b", "SF12"),
    ]
    assert [label.label for label in read_labels("u", config)] == ["Angry", "Sad"]
    assert annotation_files(config) == []


def test_labels_come_from_the_names_of_files(make_tree):
    root = make_tree(["anna_ang_1.wav", "ben_sad_2.wav"])
    config = folder(root, label_pattern=r"_(?P<label>[a-z]+)_\d", speaker_pattern=r"^(?P<speaker>[a-z]+)_")
    assert [label.label for label in read_labels("u", config)] == ["ang", "sad"]
    assert [u.speaker for u in read_utterances("u", config)] == ["anna", "ben"]
    with pytest.raises(CorpusError, match=r"the label pattern .* finds no label in ben_sad_2\.wav"):
        read_labels("u", folder(root, label_pattern="(?P<label>ang)"))
    with pytest.raises(ValueError, match="label_from and label_pattern both name the labels"):
        folder(root, label_pattern="(?P<label>ang)", label_from="parent")


def test_without_settings_labels_and_speakers_are_null(make_tree):
    root = make_tree(["a.wav"])
    assert read_utterances("u", folder(root))[0].speaker is None
    assert read_labels("u", folder(root))[0].label is None


def test_file_without_a_speaker_is_named(make_tree):
    root = make_tree(["SM1_a.wav", "other.wav"])
    with pytest.raises(CorpusError, match=r"finds no speaker in other\.wav; correct corpora\.u\.speaker_pattern"):
        read_utterances("u", folder(root, speaker_pattern=r"^(?P<speaker>SM\d+)_"))


def test_file_in_the_root_has_no_folder_to_be_labelled_by(make_tree):
    root = make_tree(["anger/a.wav", "b.wav"])
    with pytest.raises(CorpusError, match=r"no folder gives a label to b\.wav"):
        read_labels("u", folder(root, label_from="parent"))


@pytest.mark.parametrize(("pattern", "problem"), [("(", "no regular expression"), (r"S(\d)", "no group")])
def test_unusable_speaker_pattern_is_a_configuration_error(make_tree, pattern, problem):
    with pytest.raises(ConfigError, match=rf"corpora\.u\.speaker_pattern: .*{problem}"):
        read_utterances("u", folder(make_tree(["a.wav"]), speaker_pattern=pattern))


def test_real_urdu_has_four_balanced_classes_and_29_speakers(real_data):
    config = folder(real_data / "urdu", label_from="parent", speaker_pattern=r"/(?P<speaker>S[MF]\d+)_")
    utterances = read_utterances("urdu", config)
    assert Counter(label.label for label in read_labels("urdu", config)) == {
        "Angry": 100,
        "Happy": 100,
        "Neutral": 100,
        "Sad": 100,
    }
    speakers = Counter(u.speaker for u in utterances)
    assert len(speakers) == 29
    assert max(speakers.values()) == 80
