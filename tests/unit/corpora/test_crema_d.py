from __future__ import annotations

from collections import Counter

import pytest

from emoadapt.corpora.crema_d import Config
from emoadapt.errors import CorpusError
from emoadapt.listing.reading import annotation_files, read_labels, read_utterances

# Four clips: one clear, one tie of both modalities together, one tie of the voice, and the oddly named one.
SUMMARY = """"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"
"1","1001_IEO_NEU_XX","N","69.1","N","92.22","N","64.78"
"2","1001_IEO_HAP_LO","N","71.67","H","57","H:N","57.38"
"3","1002_TSI_ANG_XX","A:D","67.71","F","62.62","A","56.56"
"4","1040_ITH_SAD_XX","S","63.5","S","68.25","S","73.2"
"""
VOTES = """"","A","D","F","H","N","S","fileName","numResponses"
"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11
"100002",0,0,0,3,6,0,"1001_IEO_HAP_LO",9
"100003",4,4,0,0,2,0,"1002_TSI_ANG_XX",10
"100004",0,0,0,0,0,9,"1040_ITH_SAD_XX",9
"200001",0,0,0,0,9,0,"1001_IEO_NEU_XX",9
"200002",0,0,0,7,3,0,"1001_IEO_HAP_LO",10
"200003",1,0,8,0,0,0,"1002_TSI_ANG_XX",9
"200004",0,0,0,0,1,8,"1040_ITH_SAD_XX",9
"300001",0,1,0,0,9,0,"1001_IEO_NEU_XX",10
"300002",0,0,0,5,5,0,"1001_IEO_HAP_LO",10
"300003",6,2,0,0,2,0,"1002_TSI_ANG_XX",10
"300004",0,0,0,0,4,6,"1040_ITH_SAD_XX",10
"""
DEMOGRAPHICS = """"ActorID","Age","Sex","Race","Ethnicity"
1001,51,"Male","Caucasian","Not Hispanic"
1002,21,"Female","Caucasian","Not Hispanic"
1040,42,"Female","Caucasian","Not Hispanic"
"""
CLIPS = [f"AudioWAV/{n}.wav" for n in ("1001_IEO_NEU_XX", "1001_IEO_HAP_LO", "1002_TSI_ANG_XX", "1040_ITH_SAD_X")]


@pytest.fixture
def crema_d(make_tree):
    """The section of a corpus of four clips with its tables beside them."""
    root = make_tree(CLIPS)
    for name, text in (("summaryTable", SUMMARY), ("tabulatedVotes", VOTES), ("VideoDemographics", DEMOGRAPHICS)):
        (root / f"{name}.csv").write_text(text)
    return lambda **values: Config(importer="crema_d", root=str(root), **values)


def labels(config):
    return [label.label for label in read_labels("c", config)]


def test_utterances_carry_actor_sex_and_sentence(crema_d):
    utterances = read_utterances("c", crema_d(labels="acted"))
    assert [(u.speaker, u.sex) for u in utterances] == [
        ("1001", "male"),
        ("1001", "male"),
        ("1002", "female"),
        ("1040", "female"),
    ]
    assert utterances[0].utterance_id == "c/AudioWAV/1001_IEO_HAP_LO"
    assert [u.transcript for u in utterances[1:]] == [
        "It's eleven o'clock.",
        "The surface is slick.",
        "I think I have a doctor's appointment.",
    ]
    assert {u.language for u in utterances} == {"en"}


def test_whose_judgement_is_the_label(crema_d):
    assert labels(crema_d(labels="acted")) == ["happiness", "neutral", "anger", "sadness"]
    assert labels(crema_d(labels="voice")) == ["neutral", "neutral", None, "sadness"]
    assert labels(crema_d(labels="face")) == ["happiness", "neutral", "fear", "sadness"]
    assert labels(crema_d(labels="audiovisual")) == [None, "neutral", "anger", "sadness"]


def test_votes_and_soft_labels_come_from_the_rows_of_that_judgement(crema_d):
    tie, _, clear, _ = read_labels("c", crema_d(labels="audiovisual", ties="soft"))
    assert tie.label is None
    assert tie.soft == {"anger": 0, "disgust": 0, "fear": 0, "happiness": 0.5, "neutral": 0.5, "sadness": 0}
    assert clear.votes == {"anger": 6, "disgust": 2, "fear": 0, "happiness": 0, "neutral": 2, "sadness": 0}
    assert clear.soft == {"anger": 0.6, "disgust": 0.2, "fear": 0, "happiness": 0, "neutral": 0.2, "sadness": 0}
    assert read_labels("c", crema_d(labels="face"))[2].votes["fear"] == 8
    assert read_labels("c", crema_d(labels="acted"))[2].votes is None


def test_random_ties_take_one_of_the_tied_and_follow_the_seed_only(crema_d, tmp_path):
    drawn = [labels(crema_d(labels="audiovisual", ties="random", tie_seed=seed))[0] for seed in range(64)]
    # Fair: outside 15..49 of 64 with probability 2e-5.
    assert set(drawn) == {"happiness", "neutral"}
    assert 15 <= drawn.count("neutral") <= 49
    (tmp_path / "corpus" / CLIPS[2]).unlink()
    again = [labels(crema_d(labels="audiovisual", ties="random", tie_seed=seed))[0] for seed in range(64)]
    assert again == drawn


def test_annotations_may_lie_elsewhere(crema_d, tmp_path):
    elsewhere = tmp_path / "annotations"
    elsewhere.mkdir()
    for table in (tmp_path / "corpus").glob("*.csv"):
        table.rename(elsewhere / table.name)
    config = crema_d(labels="face", annotations=str(elsewhere))
    assert labels(config)[0] == "happiness"
    assert annotation_files(config) == [elsewhere / "summaryTable.csv", elsewhere / "tabulatedVotes.csv"]
    assert annotation_files(config.model_copy(update={"labels": "acted"})) == []
    with pytest.raises(
        CorpusError, match=r"VideoDemographics\.csv is missing; take it from .* corpora\.c\.annotations"
    ):
        read_utterances("c", crema_d(labels="face"))


def test_clip_without_votes_is_named(crema_d, make_tree):
    make_tree(["AudioWAV/1002_DFA_FEA_XX.wav"])
    with pytest.raises(CorpusError, match=r"no voice votes for AudioWAV/1002_DFA_FEA_XX\.wav; take summaryTable"):
        read_labels("c", crema_d(labels="voice"))


def test_unknown_actor_name_or_second_copy_is_refused(crema_d, make_tree):
    root = make_tree(["AudioWAV/1091_DFA_FEA_XX.wav"])
    with pytest.raises(CorpusError, match=r"has no row for actor 1091"):
        read_utterances("c", crema_d(labels="acted"))
    (root / "AudioWAV/1091_DFA_FEA_XX.wav").rename(root / "trailer.mp4")
    with pytest.raises(CorpusError, match=r"not named like CREMA-D .*: trailer\.mp4"):
        read_utterances("c", crema_d(labels="acted"))
    (root / "trailer.mp4").rename(root / "1001_IEO_NEU_XX.flv")
    with pytest.raises(
        CorpusError, match=r"the same clip more than once: 1001_IEO_NEU_XX\.flv, AudioWAV/1001_IEO_NEU_XX"
    ):
        read_utterances("c", crema_d(labels="acted"))


def test_altered_tables_are_refused(crema_d, tmp_path):
    summary, votes = tmp_path / "corpus/summaryTable.csv", tmp_path / "corpus/tabulatedVotes.csv"
    summary.write_text(SUMMARY.replace('"H:N"', '"H/N"'))
    with pytest.raises(CorpusError, match=r"summaryTable\.csv: vote 'H/N' is not of the letters A D F H N S"):
        read_labels("c", crema_d(labels="audiovisual"))
    summary.write_text(SUMMARY.replace("MultiModalVote", "Vote"))
    with pytest.raises(CorpusError, match=r"summaryTable\.csv has no column MultiModalVote"):
        read_labels("c", crema_d(labels="audiovisual"))
    summary.write_text(SUMMARY)
    votes.write_text(VOTES.replace('"300003",6,2,0,0,2,0', '"300003",,2,0,0,2,0'))
    with pytest.raises(CorpusError, match=r"row 300003 holds no numbers of votes"):
        read_labels("c", crema_d(labels="audiovisual"))


@pytest.fixture
def real_crema_d(real_data, crema_d_clips):
    """All 7,442 clips as empty files, with the corpus's own tables."""
    tables = str(real_data / "crema_d_annotations")
    return lambda **values: Config(importer="crema_d", root=str(crema_d_clips), annotations=tables, **values)


def test_real_votes_give_the_known_counts(real_crema_d):
    single = {"anger": 1019, "disgust": 1139, "fear": 1084, "happiness": 1219, "neutral": 1972, "sadness": 589}
    assert Counter(labels(real_crema_d(labels="audiovisual"))) == {None: 420, **single}
    drawn = Counter(labels(real_crema_d(labels="audiovisual", ties="random")))
    assert sum(drawn.values()) == 7442
    assert set(drawn) == set(single)
    # Goncalves & Busso 2025 report A 1067, D 1222, F 1180, H 1230, S 672, N 2071: another draw of the same ties.
    published = {"anger": 1067, "disgust": 1222, "fear": 1180, "happiness": 1230, "sadness": 672, "neutral": 2071}
    assert all(abs(drawn[emotion] - count) <= 30 for emotion, count in published.items())


def test_real_votes_have_their_maximum_at_the_label(real_crema_d):
    for judgement, ties in (("voice", 644), ("face", 470), ("audiovisual", 420)):
        rows = read_labels("c", real_crema_d(labels=judgement))
        tied = [row for row in rows if row.label is None]
        assert len(tied) == ties
        for row in rows:
            most = [emotion for emotion, count in row.votes.items() if count == max(row.votes.values())]
            assert most == [row.label] if row.label else len(most) > 1
            assert abs(sum(row.soft.values()) - 1) < 1e-9


def test_real_speakers_and_agreement_of_the_judgements(real_crema_d):
    utterances = read_utterances("c", real_crema_d(labels="acted"))
    assert Counter({u.speaker: u.sex for u in utterances}.values()) == {"male": 48, "female": 43}
    acted, voice, both = (labels(real_crema_d(labels=kind)) for kind in ("acted", "voice", "audiovisual"))
    assert len({u.transcript for u in utterances}) == 12
    # How much the judgements disagree is why `labels` has no default.
    assert sum(a == b for a, b in zip(acted, both, strict=True)) / 7442 == pytest.approx(0.722, abs=0.001)
    clear = [(v, b) for v, b in zip(voice, both, strict=True) if v and b]
    assert sum(v == b for v, b in clear) / len(clear) == pytest.approx(0.588, abs=0.001)
