from __future__ import annotations

import pytest

from emoadapt.corpora.msp_podcast import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import annotation_files, describe_sources, read_labels, read_utterances

CONSENSUS = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.4,4.0,2.8,127,Male,Test1
MSP-PODCAST_0001_0019.wav,X,5.2,3.0,4.4,Unknown,Unknown,Train
MSP-PODCAST_0002_0033.wav,C,4.5,2.25,5.0,12,Female,Development
MSP-PODCAST_0002_0040.wav,O,4.0,4.0,4.0,12,Female,Train
MSP-PODCAST_0003_0001.wav,A,6.0,1.5,6.5,7,Female,Test2
"""
DETAILED = """FileName,Worker,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0008.wav,WORKER00000001,Other-confused,"Concerned,Confused",3,3,4
MSP-PODCAST_0001_0008.wav,WORKER00000018,Neutral,Neutral,1,4,2
MSP-PODCAST_0001_0008.wav,WORKER00000021,Neutral,Neutral,2,4,2
MSP-PODCAST_0001_0008.wav,WORKER00000044,Surprise,"Neutral,Surprise",3,5,3
MSP-PODCAST_0002_0033.wav,WORKER00000044,Contempt,Contempt,3,5,3
"""
RAW = """MSP-PODCAST_0001_0008.wav; N; A:2.400000; V:4.000000; D:2.800000;
WORKER00000001; Other-confused; Concerned,Confused; A:3.000000; V:3.000000; D:4.000000;
WORKER00000018; Neutral; Neutral; A:1.000000; V:4.000000; D:2.000000;
WORKER00000021; Neutral; Neutral; A:3.000000; V:4.000000; D:2.000000;
WORKER00000044; Surprise; Neutral,Surprise; A:3.000000; V:5.000000; D:3.000000;

MSP-PODCAST_0002_0033.wav; C; A:4.500000; V:2.250000; D:5.000000;
WORKER00000044; Contempt; Contempt; A:4.000000; V:2.000000; D:5.000000;
"""
CLIPS = [f"Audios/MSP-PODCAST_{n}.wav" for n in ("0001_0008", "0001_0019", "0002_0033", "0002_0040")]


@pytest.fixture
def podcast(make_tree):
    """The section of a release of four clips on disk, of five in the table, and of a hidden one."""
    removed = "Previous_releases_information/files_removed_from_prev_versions/MSP-PODCAST_0009_0001.wav"
    root = make_tree([*CLIPS, "Audios/MSP-PODCAST_test3_0001.wav", removed, "Labels/x"])
    (root / "Labels/labels_consensus.csv").write_text(CONSENSUS)
    (root / "Labels/labels_detailed.csv").write_text(DETAILED)
    return lambda **values: Config(importer="msp_podcast", root=str(root), **values)


def test_utterances_carry_speaker_sex_and_the_corpus_s_part(podcast):
    utterances = read_utterances("p", podcast())
    assert [(u.utterance_id.rpartition("_")[2], u.speaker, u.sex, u.split) for u in utterances] == [
        ("0008", "127", "male", "Test1"),
        ("0019", None, None, "Train"),
        ("0033", "12", "female", "Development"),
        ("0040", "12", "female", "Train"),
        ("0001", None, None, "Test3"),
    ]
    assert utterances[0].utterance_id == "p/Audios/MSP-PODCAST_0001_0008"
    assert {(u.language, u.transcript) for u in utterances} == {("en", None)}


def test_consensus_and_attributes_from_1_to_7(podcast):
    labels = read_labels("p", podcast())
    assert [x.label for x in labels] == ["neutral", None, "contempt", "other", None]
    assert [(x.arousal, x.valence, x.dominance) for x in labels[:2]] == [(2.4, 4.0, 2.8), (5.2, 3.0, 4.4)]
    assert labels[4].arousal is None and labels[0].votes is None


@pytest.mark.parametrize("raw", [False, True])
def test_votes_come_from_the_table_or_the_raw_file(podcast, tmp_path, raw):
    if raw:
        (tmp_path / "corpus/Labels/labels_detailed.csv").unlink()
        (tmp_path / "corpus/Labels/labels.txt").write_text(RAW)
    labels = read_labels("p", podcast(votes=True))
    assert labels[0].votes == {"neutral": 2, "other": 1, "surprise": 1}
    assert labels[0].soft == {"neutral": 0.5, "other": 0.25, "surprise": 0.25}
    assert labels[1].votes is None
    assert labels[2].votes == {"contempt": 1}
    assert annotation_files(podcast(votes=True))[1].name == ("labels.txt" if raw else "labels_detailed.csv")


def test_older_release_has_another_file_name_and_a_partition_file(podcast, tmp_path):
    labels = tmp_path / "corpus/Labels"
    (labels / "labels_consensus.csv").unlink()
    rows = [line.rpartition(",")[0] for line in CONSENSUS.splitlines()]
    (labels / "labels_concensus.csv").write_text("\n".join(rows))
    (tmp_path / "corpus/Partitions.txt").write_text(
        "Test1; MSP-PODCAST_0001_0008.wav\n\nTrain; MSP-PODCAST_0001_0019.wav\n"
        "Validation; MSP-PODCAST_0002_0033.wav\nTrain; MSP-PODCAST_0002_0040.wav\n"
    )
    assert [u.split for u in read_utterances("p", podcast())] == ["Test1", "Train", "Validation", "Train", "Test3"]


def test_transcripts_are_read_when_asked_for(podcast, make_tree):
    root = make_tree(["Transcripts/MSP-PODCAST_0001_0019.txt"])
    (root / "Transcripts/MSP-PODCAST_0001_0008.txt").write_text("well \n you know\n")
    assert [u.transcript for u in read_utterances("p", podcast(transcripts=True))][:2] == ["well you know", None]
    before = describe_sources("p", podcast(transcripts=True))
    (root / "Transcripts/MSP-PODCAST_0001_0008.txt").write_text("well")
    assert describe_sources("p", podcast(transcripts=True)) != before
    (root / "Transcripts").rename(root / "Texts")
    with pytest.raises(CorpusError, match=r"no folder Transcripts in .*; unpack Transcripts\.zip"):
        read_utterances("p", podcast(transcripts=True))


def test_row_without_a_clip_is_counted_and_clip_without_a_row_refused(podcast, make_tree):
    assert read_notes("p", podcast()) == [
        "1 of the 5 rows of labels_consensus.csv is left out (no media file): MSP-PODCAST_0003_0001"
    ]
    make_tree(["Audios/MSP-PODCAST_0008_0001.wav"])
    with pytest.raises(CorpusError, match=r"1 clips are not in .*labels_consensus\.csv: Audios/MSP-PODCAST_0008_0001"):
        read_utterances("p", podcast())


def test_a_missing_table_an_unknown_code_and_an_odd_name_are_refused(podcast, make_tree, tmp_path):
    path = tmp_path / "corpus/Labels/labels_consensus.csv"
    path.write_text(CONSENSUS.replace(",C,", ",Q,"))
    with pytest.raises(CorpusError, match=r"the label 'Q' of MSP-PODCAST_0002_0033 is none of A S H U F D C N O X"):
        read_labels("p", podcast())
    path.unlink()
    with pytest.raises(
        CorpusError, match=r"labels_consensus\.csv or labels_concensus\.csv is missing .*corpora\.p\.annot"
    ):
        read_utterances("p", podcast())
    make_tree(["Audios/trailer.wav"])
    with pytest.raises(CorpusError, match=r"not named like MSP-Podcast .*: Audios/trailer\.wav"):
        read_utterances("p", podcast())


def test_annotations_may_lie_elsewhere(podcast, tmp_path):
    (tmp_path / "corpus/Labels").rename(tmp_path / "tables")
    config = podcast(annotations=str(tmp_path / "tables"))
    assert read_labels("p", config)[0].label == "neutral"
