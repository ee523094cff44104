from __future__ import annotations

import pytest

from emoadapt.corpora.msp_improv import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import describe_sources, read_labels, read_utterances

EVALUATION = """UTD-IMPROV-S01A-F01-S-FM01.avi; A; A:2.000000; V:1.500000; D:4.250000 ; N:3.666667;
amy-p; Angry; Angry,Frustrated; A:2.000000; V:1.000000; D:4.000000; N:3.000000;
bob-p; Angry; Angry; A:2.000000; V:2.000000; D:4.000000; N:3.000000;
bob-p; Angry; Angry; A:2.000000; V:2.000000; D:4.000000; N:4.000000;
cat-p; Other; Annoyed; A:2.000000; V:2.000000; D:4.000000; N:3.000000;

UTD-IMPROV-S01H-M01-T-FM02.avi; X; A:3.000000; V:4.000000; D:NaN ; N:NaN;
amy-p; Happy; ; A:3.000000; V:4.000000; D:NaN; N:NaN;
bob-p; Neutral; ; A:3.000000; V:4.000000; D:NaN; N:NaN;

UTD-IMPROV-S20N-F06-P-MF11.avi; N; A:4.000000; V:3.000000; D:3.000000 ; N:4.000000;

UTD-IMPROV-S03S-M05-R-MF01.avi; S; A:4.000000; V:2.000000; D:2.000000 ; N:2.000000;
"""
CLIPS = [
    "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav",
    "session1/S01H/T/MSP-IMPROV-S01H-M01-T-FM02.wav",
    "session6/S20N/P/MSP-IMPROV-S20N-F06-P-MF11.wav",
]


@pytest.fixture
def improv(make_tree):
    root = make_tree(CLIPS)
    (root / "Evalution.txt").write_text(EVALUATION)
    return lambda **values: Config(importer="msp_improv", root=str(root), **values)


def test_name_gives_speaker_sex_and_session(improv):
    utterances = read_utterances("i", improv())
    assert [(u.speaker, u.sex, u.split, u.language) for u in utterances] == [
        ("F01", "female", "session1", "en"),
        ("M01", "male", "session1", "en"),
        ("F06", "female", "session6", "en"),
    ]
    assert utterances[0].utterance_id == "i/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01"


def test_consensus_votes_and_attributes(improv):
    angry, tied, neutral = read_labels("i", improv())
    assert [angry.label, tied.label, neutral.label] == ["anger", None, "neutral"]
    # bob's line is there twice, and he counts once.
    assert angry.votes == {"anger": 2, "other": 1}
    assert tied.soft == {"happiness": 0.5, "neutral": 0.5}
    assert (neutral.votes, neutral.soft) == (None, None)
    # The file counts activation down: 2 of 5 is rather active, 6 - 2 = 4.
    assert (angry.arousal, angry.valence, angry.dominance) == (4.0, 1.5, 4.25)
    assert (tied.arousal, tied.dominance) == (3.0, None)
    assert read_labels("i", improv(activation="ascending"))[0].arousal == 2.0


def test_turn_that_cannot_be_read_is_refused(improv, tmp_path):
    """Symptom: a line of a turn in another form made the turn vanish."""
    (tmp_path / "corpus/Evalution.txt").write_text(EVALUATION.replace("M02.avi; X;", "M02.avi, X,"))
    with pytest.raises(CorpusError, match=r"Evalution\.txt, line 7: no line of a turn .*'UTD-IMPROV-S01H-M01-T-FM02"):
        read_labels("i", improv())


def test_scenarios_are_chosen_and_missing_turns_counted(improv):
    assert [u.speaker for u in read_utterances("i", improv(scenarios=("target_improvised", "natural")))] == [
        "M01",
        "F06",
    ]
    assert read_notes("i", improv()) == [
        "1 of the 4 rows of Evalution.txt is left out (no media file): MSP-IMPROV-S03S-M05-R-MF01"
    ]
    assert read_notes("i", improv(scenarios=("natural",))) == [
        "3 of the 4 rows of Evalution.txt are left out (of a scenario that is not wanted): "
        "MSP-IMPROV-S01A-F01-S-FM01, MSP-IMPROV-S01H-M01-T-FM02, MSP-IMPROV-S03S-M05-R-MF01"
    ]
    assert describe_sources("i", improv()) is not None


def test_transcripts_are_read_where_they_are(improv, make_tree):
    root = make_tree([f"All_human_transcriptions/session1/{CLIPS[1].rpartition('/')[2][:-4]}.txt"])
    path = root / f"All_human_transcriptions/session1/{CLIPS[0].rpartition('/')[2][:-4]}.txt"
    path.write_text("How can I not?\n")
    assert [u.transcript for u in read_utterances("i", improv())] == ["How can I not?", None, None]


@pytest.mark.parametrize(("modalities", "kept"), [(("audio",), ".wav"), (("audio", "video"), ".avi")])
def test_sound_or_picture_by_modality(improv, make_tree, modalities, kept):
    make_tree([CLIPS[0].replace(".wav", ".avi")])
    assert read_utterances("i", improv(modalities=modalities))[0].media.endswith(kept)


def test_faults_are_refused_in_a_sentence(improv, make_tree, tmp_path):
    evaluation = tmp_path / "corpus/Evalution.txt"
    evaluation.write_text(EVALUATION.replace("avi; X;", "avi; Z;"))
    with pytest.raises(CorpusError, match=r"the label 'Z' of MSP-IMPROV-S01H-M01-T-FM02 is none of A S H N O X"):
        read_labels("i", improv())
    make_tree(["session2/S02A/S/MSP-IMPROV-S02A-F02-S-FM01.wav"])
    with pytest.raises(CorpusError, match=r"1 clips are not in .*Evalution\.txt: session2/S02A/S/MSP-IMPROV-S02A"):
        read_labels("i", improv())
    evaluation.rename(tmp_path / "Evaluation.txt")
    assert len(read_utterances("i", improv())) == 4
    (tmp_path / "Evaluation.txt").unlink()
    with pytest.raises(CorpusError, match=r"Evalution\.txt or Evaluation\.txt is missing under"):
        read_labels("i", improv())
    make_tree(["session1/MSP-IMPROV-S01A-F07-S-FM01.wav"])
    with pytest.raises(CorpusError, match=r"not named like MSP-IMPROV .*F07"):
        read_utterances("i", improv())
