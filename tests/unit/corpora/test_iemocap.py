from __future__ import annotations

import pytest

from emoadapt.corpora.iemocap import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import annotation_files, describe_sources, read_labels, read_utterances

IMPROVISED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[140.2250 - 145.6000]\tSes01F_impro05_F019\tang\t[1.5000, 4.0000, 4.5000]
C-E1:\tAnger;\t()
C-E3:\tAnger; Frustration;\t()
C-E4:\tExcited;\t()
C-F1:\tHappiness;\t()
A-E3:\tval 2; act 4; dom  4;\t()
A-E4:\tval 1; act 4; dom  5;\t(threatening, belligerent)
A-F1:\tval 1; act 5; dom  5;\t()

[150.0000 - 152.0000]\tSes01F_impro05_M001\txxx\t[2.5000, 2.5000, 2.0000]
C-E1:\tNeutral;\t()
C-E3:\tOther;\t(bored)

"""
SCRIPTED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes05M_script03_2_M045\texc\t[4.5000, 4.0000, 3.5000]
C-E2:\tExcited;\t()
C-E4:\tHappiness;\t()

[9.0 - 9.9]\tSes05M_script03_2_F046\tneu\t[3.0, 3.0, 3.0]
"""
CLIPS = [
    "Session1/sentences/wav/Ses01F_impro05/Ses01F_impro05_F019.wav",
    "Session1/sentences/wav/Ses01F_impro05/Ses01F_impro05_M001.wav",
    "Session5/sentences/wav/Ses05M_script03_2/Ses05M_script03_2_M045.wav",
]


@pytest.fixture
def iemocap(make_tree):
    root = make_tree(
        [
            *CLIPS,
            "Session1/dialog/avi/DivX/Ses01F_impro05.avi",
            "Session1/dialog/wav/Ses01F_impro05.wav",
            "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro05_e1_cat.txt",
            "Session1/dialog/transcriptions/x",
            "Session5/dialog/EmoEvaluation/x",
        ]
    )
    (root / "Session1/dialog/EmoEvaluation/Ses01F_impro05.txt").write_text(IMPROVISED)
    (root / "Session5/dialog/EmoEvaluation/Ses05M_script03_2.txt").write_text(SCRIPTED)
    (root / "Session1/dialog/transcriptions/Ses01F_impro05.txt").write_text(
        "Ses01F_impro05_F019 [140.2250-145.6000]: Did you get the mail?\nM: [LAUGHTER]\n"
    )
    return lambda **values: Config(importer="iemocap", root=str(root), **values)


def test_speaker_is_who_speaks_and_part_is_the_session(iemocap):
    utterances = read_utterances("i", iemocap())
    # The F of Ses01F_impro05 wears the markers; Ses01F_impro05_M001 is spoken by the man.
    assert [(u.speaker, u.sex, u.split) for u in utterances] == [
        ("Ses01F", "female", "session1"),
        ("Ses01M", "male", "session1"),
        ("Ses05M", "male", "session5"),
    ]
    assert [u.transcript for u in utterances] == ["Did you get the mail?", None, None]
    assert utterances[0].utterance_id == f"i/{CLIPS[0][:-4]}"


def test_majority_attributes_and_outside_raters(iemocap):
    angry, none, excited = read_labels("i", iemocap())
    assert [angry.label, none.label, excited.label] == ["anger", None, "excitement"]
    # Two raters' averages, by hand: valence (2 + 1) / 2, activation (4 + 4) / 2, dominance (4 + 5) / 2.
    assert (angry.valence, angry.arousal, angry.dominance) == (1.5, 4.0, 4.5)
    # The actress herself (C-F1: Happiness) is no outside rater.
    assert angry.votes == {"anger": 2, "excitement": 1, "frustration": 1}
    assert none.votes == {"neutral": 1, "other": 1}


def test_excitement_is_merged_when_asked_for(iemocap):
    angry, _, excited = read_labels("i", iemocap(excitement="happiness"))
    assert excited.label == "happiness" and excited.votes == {"happiness": 2}
    assert angry.votes == {"anger": 2, "frustration": 1, "happiness": 1}


def test_turn_that_cannot_be_read_is_refused(iemocap, tmp_path):
    """Symptom: a line of a turn in another form made the turn vanish."""
    path = tmp_path / "corpus/Session1/dialog/EmoEvaluation/Ses01F_impro05.txt"
    path.write_text(IMPROVISED.replace("M001\txxx\t[", "M001\txxx\t("))
    with pytest.raises(CorpusError, match=r"Ses01F_impro05\.txt, line 12: no line of a turn .*'\[150\.0000"):
        read_labels("i", iemocap())


def test_dialogues_are_chosen_and_what_is_missing_is_counted(iemocap):
    assert len(read_utterances("i", iemocap(scenarios=("improvised",)))) == 2
    assert [u.speaker for u in read_utterances("i", iemocap(scenarios=("scripted",)))] == ["Ses05M"]
    assert read_notes("i", iemocap()) == [
        "1 of the 4 rows of the evaluations is left out (no media file): Ses05M_script03_2_F046",
        "Session2, Session3, Session4 of 5 sessions are missing",
    ]
    assert [path.name for path in annotation_files(iemocap())] == ["Ses01F_impro05.txt", "Ses05M_script03_2.txt"]
    assert describe_sources("i", iemocap()) is not None


def test_faults_are_refused_in_a_sentence(iemocap, make_tree, tmp_path):
    evaluation = tmp_path / "corpus/Session1/dialog/EmoEvaluation/Ses01F_impro05.txt"
    evaluation.write_text(IMPROVISED.replace("\tang\t", "\tenvy\t"))
    with pytest.raises(
        CorpusError, match=r"Ses01F_impro05\.txt: the label 'envy' of Ses01F_impro05_F019 is none of ang hap"
    ):
        read_labels("i", iemocap())
    evaluation.unlink()
    with pytest.raises(CorpusError, match=r"2 clips are not in Session\*/dialog/EmoEvaluation"):
        read_labels("i", iemocap())
    (tmp_path / "corpus/Session5/dialog/EmoEvaluation/Ses05M_script03_2.txt").unlink()
    with pytest.raises(CorpusError, match=r"there is no Session\*/dialog/EmoEvaluation/Ses\*\.txt under"):
        read_labels("i", iemocap())
    make_tree(["Session2/sentences/wav/take.wav"])
    with pytest.raises(CorpusError, match=r"not named like IEMOCAP .*: Session2/sentences/wav/take\.wav"):
        read_utterances("i", iemocap())
