from __future__ import annotations

import json

import pytest

from emoadapt.corpora.msp_face import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import annotation_files, describe_sources, read_labels, read_utterances

CONSENSUS = {
    "MSP-FACE_0253_0006.mp4": [
        {"EmoClass_Major": "H", "EmoAct": "5.43", "EmoDom": "5.0", "EmoVal": "4.86", "SpkrID": "27", "Gender": "Female",
         "Split_Set": "Train"}
    ],
    "MSP-FACE_0400_0001.mp4": [
        {"EmoClass_Major": "X", "EmoAct": "4", "EmoDom": "4", "EmoVal": "4", "SpkrID": "31", "Gender": "Male",
         "Split_Set": "Test"}
    ],
    "MSP-FACE_0999_0001.mp4": [{"EmoClass_Major": "N"}],
}  # fmt: skip
DETAILED = {
    "MSP-FACE_0253_0006.mp4": {
        "Workers": [
            {"Name": "WORKER0000013", "EmoClass_Major": "Happy"},
            {"Name": "WORKER0000001", "EmoClass_Major": "Happy"},
            {"Name": "WORKER0000002", "EmoClass_Major": "Neutral"},
            {"Name": "WORKER0000003", "EmoClass_Major": "Other-amused"},
        ]
    }
}
CLIPS = [
    "MSP-FACE_0253_0006.mp4",
    "u/MSP-Face_0253_0007.mp4",
    "MSP-FACE_0400_0001/MSP-FACE_0400_0001.mp4",
    "MSP-FACE_0500_0001.mp4",
]


@pytest.fixture
def face(make_tree):
    root = make_tree([*(f"Segments/{clip}" for clip in CLIPS), "Labels/x", "Doc/x"])
    (root / "Labels/labels_concensus.json").write_text(json.dumps(CONSENSUS))
    (root / "Labels/labels_detailed.json").write_text(json.dumps(DETAILED))
    (root / "Doc/speaker_id_segments.txt").write_text("MSP-FACE_0253_0007.mp4; 27\nMSP-FACE_0253_0006.mp4; 27\n")
    (root / "Doc/speaker_id_gender.txt").write_text("27; Female\n31; Male\n")
    return lambda **values: Config(
        importer="msp_face", root=str(root / "Segments"), modalities=("audio", "video"), **values
    )


def test_labelled_and_unlabelled_clips_share_speakers(face):
    utterances = {u.media.rpartition("/")[2]: u for u in read_utterances("f", face())}
    assert {name: (u.speaker, u.sex, u.split) for name, u in utterances.items()} == {
        "MSP-FACE_0253_0006.mp4": ("27", "female", "Train"),
        "MSP-Face_0253_0007.mp4": ("27", "female", None),
        "MSP-FACE_0400_0001.mp4": ("31", "male", "Test"),
        "MSP-FACE_0500_0001.mp4": ("video_0500", None, None),
    }


def test_labels_votes_and_attributes(face):
    labels = {x.utterance_id.rpartition("/")[2]: x for x in read_labels("f", face())}
    happy = labels["MSP-FACE_0253_0006"]
    assert (happy.label, happy.arousal, happy.valence, happy.dominance) == ("happiness", 5.43, 4.86, 5.0)
    assert happy.votes == {"happiness": 2, "neutral": 1, "other": 1}
    assert labels["MSP-FACE_0400_0001"].label is None and labels["MSP-FACE_0400_0001"].arousal == 4.0
    assert labels["MSP-Face_0253_0007"].arousal is None


def test_parts_are_chosen_and_vanished_videos_counted(face):
    assert [u.split for u in read_utterances("f", face(part="labelled"))] == ["Train", "Test"]
    assert [u.speaker for u in read_utterances("f", face(part="unlabelled"))] == ["video_0500", "27"]
    assert read_notes("f", face()) == [
        "1 of the 3 rows of labels_concensus.json is left out (no media file): MSP-FACE_0999_0001"
    ]
    assert read_notes("f", face(part="unlabelled")) == [
        "3 of the 3 rows of labels_concensus.json are left out (part: unlabelled is wanted): "
        "MSP-FACE_0253_0006, MSP-FACE_0400_0001, MSP-FACE_0999_0001"
    ]
    assert describe_sources("f", face()) is not None


def test_stage_1_needs_no_labels(face, tmp_path):
    for folder in ("Labels", "Doc"):
        (tmp_path / "corpus" / folder).rename(tmp_path / folder)
    with pytest.raises(CorpusError, match=r"labels_concensus\.json .* is missing .*annotations"):
        read_utterances("f", face())
    utterances = read_utterances("f", face(labels="none"))
    assert sorted({u.speaker for u in utterances}) == ["video_0253", "video_0400", "video_0500"]
    assert annotation_files(face(labels="none")) == []
    assert {x.label for x in read_labels("f", face(labels="none"))} == {None}
    with pytest.raises(CorpusError, match=r"part: labelled needs the labels"):
        read_utterances("f", face(labels="none", part="labelled"))
    assert read_utterances("f", face(annotations=str(tmp_path)))[0].speaker == "27"


def test_faults_are_refused_in_a_sentence(face, make_tree, tmp_path):
    path = tmp_path / "corpus/Labels/labels_concensus.json"
    path.write_text(json.dumps(CONSENSUS).replace('"H"', '"Q"'))
    with pytest.raises(CorpusError, match=r"the label 'Q' of MSP-FACE_0253_0006 is none of"):
        read_labels("f", face())
    path.write_text('{"MSP-FACE_0253_0006.mp4": []}')
    with pytest.raises(CorpusError, match=r"MSP-FACE_0253_0006\.mp4 holds no fields"):
        read_labels("f", face())
    make_tree(["Segments/whole_video.mp4"])
    with pytest.raises(CorpusError, match=r"not named like MSP-Face .*: whole_video\.mp4"):
        read_utterances("f", face(labels="none"))
