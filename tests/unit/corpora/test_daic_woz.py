from __future__ import annotations

import pytest

from emoadapt.corpora.daic_woz import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_account, read_notes
from emoadapt.listing.reading import annotation_files, describe_source, describe_sources, read_labels, read_utterances

HEADER = "start_time\tstop_time\tspeaker\tvalue\n"
LINES = """36.588\t39.668\tParticipant\t<synch>
62.328\t63.178\tEllie\thi i'm ellie thanks for coming in today

62.9\t64.1\tParticipant\tgood
64.5\t67.25\tParticipant\tatlanta georgia
68.978\t70.288\tEllie\thow_doingV (so how are you doing today)
71.0\t72.0\tParticipant\tmy name is scrubbed_entry
73.0\t74.0\tParticipant\tum i moved <laughter>
75.0\t75.0\tParticipant\tand
"""
PARTS = {
    "train_split_Depression_AVEC2017.csv": "Participant_ID,PHQ8_Binary,PHQ8_Score,Gender,PHQ8_NoInterest\n303,0,0,0,0\n318,1,11,1,2\n409,0,10,0,1\n",
    "dev_split_Depression_AVEC2017.csv": "Participant_ID,PHQ8_Binary,PHQ8_Score,Gender,PHQ8_NoInterest\n373,1,12,1,2\n",
    "full_test_split.csv": "Participant_ID,PHQ_Binary,PHQ_Score,Gender\n300,1,20,1\n",
}  # fmt: skip


@pytest.fixture
def daic(make_tree):
    """Interviews 300 (test), 303 and 318 (train), 373 (dev); 409 is in a table alone."""
    root = make_tree(f"{clip}_P/{clip}_AUDIO.wav" for clip in ("300", "303", "318", "373"))
    for clip in ("300", "303"):
        (root / f"{clip}_P/{clip}_TRANSCRIPT.csv").write_text(HEADER + LINES)
    (root / "318_P/318_TRANSCRIPT.csv").write_text(HEADER + "1.5\t2.5\tParticipant\tyes\n")
    (root / "373_P/373_TRANSCRIPT.csv").write_text(
        HEADER + "390\t396\tParticipant\twho is there\n400\t410\tEllie\tx\n430\t431\tParticipant\tsorry\n"
    )
    for name, text in PARTS.items():
        (root / name).write_text(text)
    return lambda **values: Config(importer="daic_woz", root=str(root), **values)


def of(clip, utterances):
    return [u for u in utterances if u.speaker == clip]


def test_lines_of_the_participant_are_utterances(daic):
    utterances = of("303", read_utterances("d", daic()))
    assert [u.utterance_id for u in utterances] == [
        "d/303_P/303_AUDIO#62.90-64.10",
        "d/303_P/303_AUDIO#64.50-67.25",
        "d/303_P/303_AUDIO#73.00-74.00",
    ]
    assert [u.transcript for u in utterances] == ["good", "atlanta georgia", "um i moved <laughter>"]
    assert {(u.sex, u.split, u.language) for u in utterances} == {("female", "train", "en")}
    assert (utterances[1].start, utterances[1].end) == (64.5, 67.25)


def test_turns_are_lines_between_two_of_the_interviewer(daic, tmp_path):
    found = [(u.start, u.end, u.transcript) for u in of("303", read_utterances("d", daic(unit="turn")))]
    assert found == [(62.9, 67.25, "good atlanta georgia"), (73.0, 74.0, "um i moved <laughter>")]
    # Without the interviewer's lines nothing tells where a turn ends.
    path = tmp_path / "corpus/303_P/303_TRANSCRIPT.csv"
    path.write_text(HEADER + "1\t2\tParticipant\ta\n9\t10\tParticipant\tb\n")
    assert len(of("303", read_utterances("d", daic(unit="turn")))) == 2


def test_label_is_the_person_s_in_all_of_an_interview(daic):
    labels = {x.utterance_id.split("_")[0]: x.label for x in read_labels("d", daic())}
    assert labels == {"d/300": "depressed", "d/303": "normal", "d/318": "depressed", "d/373": "depressed"}


def test_test_part_has_no_labels_where_its_scores_are_missing(daic, tmp_path):
    (tmp_path / "corpus/test_split_Depression_AVEC2017.csv").write_text("participant_ID,Gender\n300,1\n")
    assert [path.name for path in annotation_files(daic())][-1] == "full_test_split.csv"
    (tmp_path / "corpus/full_test_split.csv").unlink()
    assert {x.label for x in read_labels("d", daic()) if "/300" in x.utterance_id} == {None}
    assert {(u.split, u.sex) for u in of("300", read_utterances("d", daic()))} == {("test", "male")}


def test_binary_label_and_score_may_disagree(daic, make_tree, tmp_path):
    make_tree(["409_P/409_AUDIO.wav"])
    (tmp_path / "corpus/409_P/409_TRANSCRIPT.csv").write_text(HEADER + "1\t2\tParticipant\tno\n")
    for labels, expected in (("binary", "normal"), ("score", "depressed")):
        config = daic(labels=labels)
        assert {x.label for x in read_labels("d", config) if "/409" in x.utterance_id} == {expected}
        assert read_notes("d", config)[-1] == (
            "participant 409: train_split_Depression_AVEC2017.csv has the binary label 0 and the score 10; "
            f"labels: {labels} is read"
        )
    assert describe_source(daic()) == "PHQ-8 questionnaire, 10 points or more (PHQ8_Binary)"


def test_early_transcripts_and_interruptions_are_corrected(daic):
    early, interrupted = (of(clip, read_utterances("d", daic())) for clip in ("318", "373"))
    assert [(u.start, u.end) for u in early] == [(35.82, 36.82)]
    assert [u.transcript for u in interrupted] == ["sorry"]
    plain = read_utterances("d", daic(corrections=False))
    assert [(u.start, u.end) for u in of("318", plain)] == [(1.5, 2.5)]
    assert [u.transcript for u in of("373", plain)] == ["who is there", "sorry"]


def test_draws_are_of_each_interview_and_by_seed(daic, tmp_path):
    many = "".join(f"{i}\t{i + 1}\tParticipant\tw{i}\n" for i in range(50))
    for clip in ("303", "318"):
        (tmp_path / f"corpus/{clip}_P/{clip}_TRANSCRIPT.csv").write_text(HEADER + many)
    draws = [read_utterances("d", daic(normal=5, depressed=20, seed=seed)) for seed in (0, 0, 1)]
    assert [len(of("303", draw)) for draw in draws] == [5] * 3 and [len(of("318", draw)) for draw in draws] == [20] * 3
    assert draws[0] == draws[1] != draws[2]
    # Interviews with fewer lines keep all.
    assert len(of("300", draws[0])) == 3 and len(of("373", draws[0])) == 1
    assert [x.utterance_id for x in read_labels("d", daic(normal=5, depressed=20))] == [
        u.utterance_id for u in draws[0]
    ]


def test_each_line_is_accounted_for(daic):
    account = read_account("d", daic(normal=2))
    assert account.describe() == "the transcripts: 20 rows; 7 are clips, 13 are left out"
    assert {reason: len(names) for reason, names in account.left_out.items()} == {
        "a mark of synchronisation, or erased": 4, "of the interviewer": 5, "it ends before it begins": 2, "not drawn": 1,
        "during an interruption of the interview": 1,
    }  # fmt: skip
    turns = read_account("d", daic(unit="turn"))
    assert (turns.rows, turns.clips) == (20, 8)
    assert "1 of the 5 interviews of the tables are missing: 409" in read_notes("d", daic())
    assert describe_sources("d", daic()) is not None


def test_faults_are_refused_in_a_sentence(daic, make_tree, tmp_path):
    path = tmp_path / "corpus/303_P/303_TRANSCRIPT.csv"
    path.write_text(HEADER + "1\t2\tSomebody\tx\n")
    with pytest.raises(CorpusError, match=r"303_TRANSCRIPT\.csv, line 2: no line of a turn \(start_time, .*'1\\t2"):
        read_utterances("d", daic())
    path.unlink()
    with pytest.raises(CorpusError, match=r"303_TRANSCRIPT\.csv is missing; it comes with the corpus"):
        read_utterances("d", daic())
    make_tree(["999_P/999_AUDIO.wav"])
    with pytest.raises(CorpusError, match=r"1 clips are not in train_split_Depression_AVEC2017\.csv, dev_split"):
        read_utterances("d", daic())
    make_tree(["300_P/301_AUDIO.wav"])
    with pytest.raises(CorpusError, match=r"not named like DAIC-WOZ .*: 300_P/301_AUDIO\.wav"):
        read_utterances("d", daic())
    (tmp_path / "corpus/train_split_Depression_AVEC2017.csv").unlink()
    with pytest.raises(CorpusError, match=r"train_split_Depression_AVEC2017\.csv is missing under"):
        read_utterances("d", daic())


def test_tables_may_lie_elsewhere(daic, tmp_path):
    (tmp_path / "tables").mkdir()
    for name in PARTS:
        (tmp_path / "corpus" / name).rename(tmp_path / "tables" / name)
    assert len(read_utterances("d", daic(annotations=str(tmp_path / "tables")))) == 8
