from __future__ import annotations

import pytest

from emoadapt.corpora.meld import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
TRAIN = HEADER + (
    '1,"also I was the point person, you know?",Chandler,neutral,neutral,0,0,8,21,"00:16:16,059","00:16:21,731"\n'
    '2,You mustve had your hands full.,The Interviewer,joy,positive,0,1,8,21,"00:16:21,940","00:16:23,442"\n'
    '3,Gone,Ross,sadness,negative,125,3,1,1,"0","1"\n'
).replace("mustve", "must\x92ve")
DEV = HEADER + '1,Oh my God!,Phoebe,surprise,negative,0,0,4,7,"00:20:57,256","00:21:00,049"\n'
TEST = HEADER + '1,Why?,Joey,surprise,positive,0,0,19,1,"0","1"\n'
CLIPS = [
    "train/train_splits/dia0_utt0.mp4",
    "train/train_splits/dia0_utt1.mp4",
    "dev/dev_splits_complete/dia0_utt0.mp4",
    "dev/dev_splits_complete/dia9_utt9.mp4",
    "test/output_repeated_splits_test/dia0_utt0.mp4",
    "test/output_repeated_splits_test/final_videos_testdia0_utt0.mp4",
]


@pytest.fixture
def meld(make_tree):
    root = make_tree(CLIPS)
    (root / "train/train_sent_emo.csv").write_text(TRAIN, encoding="utf-8")
    (root / "dev_sent_emo.csv").write_text(DEV)
    (root / "test_sent_emo.csv").write_text(TEST)
    return lambda **values: Config(importer="meld", root=str(root), modalities=("audio", "video"), **values)


def test_parts_speakers_and_words(meld):
    utterances = read_utterances("m", meld())
    assert [(u.split, u.speaker, u.sex) for u in utterances] == [
        ("dev", "Phoebe", "female"),
        ("dev", None, None),
        ("test", "Joey", "male"),
        ("train", "Chandler", "male"),
        ("train", "The Interviewer", None),
    ]
    assert utterances[0].utterance_id == "m/dev/dev_splits_complete/dia0_utt0"
    assert [u.transcript for u in utterances[3:]] == [
        "also I was the point person, you know?",
        "You must\N{RIGHT SINGLE QUOTATION MARK}ve had your hands full.",
    ]


def test_emotions_or_sentiments(meld):
    assert [x.label for x in read_labels("m", meld())] == ["surprise", None, "surprise", "neutral", "happiness"]
    assert [x.label for x in read_labels("m", meld(labels="sentiment"))] == [
        "negative",
        None,
        "positive",
        "neutral",
        "positive",
    ]


def test_missing_and_unknown_clips_are_counted(meld):
    assert read_notes("m", meld()) == [
        "1 of the 5 rows of the tables is left out (no media file): train/dia125_utt3",
        "1 clips are in no table and unlabelled: dev/dev_splits_complete/dia9_utt9.mp4",
    ]
    assert describe_sources("m", meld()) is not None


def test_sound_alone_in_folders_of_the_same_names(make_tree, meld):
    make_tree([path.replace(".mp4", ".wav") for path in CLIPS[:5]])
    config = meld().model_copy(update={"modalities": ("audio",)})
    assert {u.media.rpartition(".")[2] for u in read_utterances("m", config)} == {"wav"}


def test_faults_are_refused_in_a_sentence(meld, make_tree, tmp_path):
    (tmp_path / "corpus/dev_sent_emo.csv").write_text(DEV.replace("surprise", "awe"))
    with pytest.raises(
        CorpusError, match=r"dev_sent_emo\.csv: the label 'awe' of dev/dev_splits_complete/dia0_utt0\.mp4"
    ):
        read_labels("m", meld())
    (tmp_path / "corpus/dev_sent_emo.csv").unlink()
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv .*is missing under"):
        read_utterances("m", meld())
    root = make_tree(["videos/dia0_utt0.mp4"], "elsewhere")
    with pytest.raises(CorpusError, match=r"videos/dia0_utt0\.mp4 lie in no folder of a part"):
        read_utterances("m", Config(importer="meld", root=str(root)))
    make_tree(["train/outtakes.mp4"])
    with pytest.raises(CorpusError, match=r"not named like MELD .*: train/outtakes\.mp4"):
        read_utterances("m", meld())
