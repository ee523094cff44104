from __future__ import annotations

import pytest

from emoadapt.corpora.cmu_mosi import DEV, TEST, TRAIN, Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances

# 03bSnISJMiM is a training video, _dI--eQ6qVU a development one, c7UH_rxdZv4 a test one.
OPINIONS = """1.0,4.2,03bSnISJMiM,1,2.4
4.2,6.0,03bSnISJMiM,2,0.0
0.5,3.0,_dI--eQ6qVU,1,-1.6
0.5,3.0,c7UH_rxdZv4,3,-3.0
3.0,4.0,c7UH_rxdZv4,4,0.2
"""
MMSA = """video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode
03bSnISJMiM,1,A LOT OF SAD PARTS,2.4,,,,Positive,train
c7UH_rxdZv4,3,"IT WAS, WELL, BAD",-3.0,,,,Negative,test
"""
CLIPS = [
    f"Raw/Audio/WAV_16000/Segmented/{name}.wav"
    for name in ("03bSnISJMiM_1", "03bSnISJMiM_2", "_dI--eQ6qVU_1", "c7UH_rxdZv4_3")
]


@pytest.fixture
def mosi(make_tree):
    full = ["Raw/Audio/WAV_16000/Full/03bSnISJMiM.wav", "Raw/Video/Full/03bSnISJMiM.mp4"]
    root = make_tree([*CLIPS, *full, "Raw/Transcript/Segmented/x"])
    (root / "OpinionLevelSentiment.csv").write_text(OPINIONS)
    (root / "Raw/Transcript/Segmented/03bSnISJMiM.annotprocessed").write_text(
        "1_DELIM_A LOT OF SAD PARTS\n2_DELIM_THERE IS SAD PART\n"
    )
    return lambda **values: Config(importer="cmu_mosi", root=str(root), **values)


def test_standard_folds_are_of_93_videos():
    assert (len(TRAIN), len(DEV), len(TEST)) == (52, 10, 31)
    assert len(TRAIN | DEV | TEST) == 93
    assert {len(video) for video in TRAIN | DEV | TEST} == {11}


def test_folds_speakers_and_words(mosi):
    utterances = read_utterances("m", mosi())
    assert [(u.speaker, u.split, u.sex) for u in utterances] == [
        ("03bSnISJMiM", "train", None),
        ("03bSnISJMiM", "train", None),
        ("_dI--eQ6qVU", "dev", None),
        ("c7UH_rxdZv4", "test", None),
    ]
    assert [u.transcript for u in utterances] == ["A LOT OF SAD PARTS", "THERE IS SAD PART", None, None]


def test_sentiment_is_valence_and_its_sign_the_label(mosi):
    labels = read_labels("m", mosi())
    assert [(x.label, x.valence) for x in labels] == [
        ("positive", 2.4),
        ("neutral", 0.0),
        ("negative", -1.6),
        ("negative", -3.0),
    ]
    assert {x.arousal for x in labels} == {None}


def test_mmsa_s_layout_and_table(make_tree):
    root = make_tree(["Raw/03bSnISJMiM/1.mp4", "Raw/c7UH_rxdZv4/0003.mp4"])
    (root / "label.csv").write_text(MMSA)
    config = Config(importer="cmu_mosi", root=str(root))
    assert [(u.split, u.transcript) for u in read_utterances("m", config)] == [
        ("train", "A LOT OF SAD PARTS"),
        ("test", "IT WAS, WELL, BAD"),
    ]
    assert [x.valence for x in read_labels("m", config)] == [2.4, -3.0]


@pytest.mark.parametrize(("modalities", "kept"), [(("audio",), "Audio"), (("audio", "video"), "Video")])
def test_sound_or_picture_by_modality(mosi, make_tree, modalities, kept):
    make_tree(["Raw/Video/Segmented/03bSnISJMiM_1.mp4"])
    media = [
        u.media for u in read_utterances("m", mosi(modalities=modalities)) if u.media.rpartition(".")[0].endswith("M_1")
    ]
    assert [path.split("/")[1] for path in media] == [kept]


def test_missing_and_faulty_files_are_refused_or_noted(mosi, make_tree, tmp_path):
    assert read_notes("m", mosi()) == [
        "1 of the 5 rows of OpinionLevelSentiment.csv is left out (no media file): c7UH_rxdZv4_4"
    ]
    assert describe_sources("m", mosi()) is not None
    table = tmp_path / "corpus/OpinionLevelSentiment.csv"
    table.write_text(OPINIONS.replace("-1.6", "-16"))
    with pytest.raises(CorpusError, match=r"row 3: segment '1' with sentiment '-16', not a number from -3 to 3"):
        read_labels("m", mosi())
    table.write_text(OPINIONS.partition("\n")[2])
    with pytest.raises(CorpusError, match=r"1 clips are not in .*OpinionLevelSentiment\.csv: .*03bSnISJMiM_1"):
        read_labels("m", mosi())
    table.unlink()
    with pytest.raises(CorpusError, match=r"OpinionLevelSentiment\.csv or .* is missing"):
        read_labels("m", mosi())
    make_tree(["Raw/Audio/WAV_16000/Segmented/AAAAAAAAAAA_1.wav"])
    with pytest.raises(CorpusError, match=r"not from a video of CMU-MOSI's standard folds: .*AAAAAAAAAAA_1"):
        read_utterances("m", mosi())
