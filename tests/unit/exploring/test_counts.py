"""Counts by label, speaker and status, worked out by hand."""

import polars as pl

from emoadapt import schema
from emoadapt.exploring.clips import CLIP
from emoadapt.exploring.counts import count_labels, count_reasons, count_statuses, cross_speakers, list_facts
from emoadapt.exploring.features import list_remarks
from emoadapt.exploring.oddities import list_copies, list_oddities
from emoadapt.storage.tables import write_table

SECONDS = pl.DataFrame({CLIP: [0, 1, 2], "seconds": [1.0, 5.0, 2.0]}, schema={CLIP: pl.UInt32, "seconds": pl.Float64})


def test_labels_are_counted_by_sex_and_speaker(clips):
    anger, joy = count_labels(clips, SECONDS)
    assert (anger.label, anger.clips, anger.female, anger.male, anger.unknown, anger.speakers) == (
        "anger",
        3,
        1,
        2,
        0,
        2,
    )
    assert (joy.label, joy.clips, joy.female, joy.male, joy.unknown, joy.speakers) == ("joy", 2, 1, 0, 1, 1)
    # Of clips a and c; of clip b alone, since the length of e is not known.
    assert anger.seconds == 1.5 and joy.seconds == 5.0


def test_holes_of_the_matrix_are_counted(clips):
    matrix = cross_speakers(clips, ["anger", "joy"])
    assert matrix.rows == [("ann", "female", 2, [1, 1]), ("bob", "male", 2, [2, 0])]
    assert (matrix.speakers, matrix.holes, matrix.incomplete, matrix.left_out) == (2, 1, 1, 0)
    assert any(
        "1 of 2 speakers lack at least one label; 1 of 4 pairs" in said
        for said in list_oddities(clips, count_labels(clips, SECONDS), matrix, [])
    )


def test_only_the_largest_speakers_and_labels_are_shown_and_all_are_counted(make_clips):
    rows = [(f"{i}_{j}", f"s{i:03d}", None, f"l{i % 30:02d}") for i in range(150) for j in range(1 + (i == 149))]
    clips = make_clips(rows)
    labels = [one.label for one in count_labels(clips, SECONDS)]
    matrix = cross_speakers(clips, labels)
    # Each speaker has one of 30 labels, and 24 are shown: 120 speakers lack 23 of them, 30 lack all.
    assert len(matrix.rows) == 100 and matrix.rows[0][0] == "s149" and matrix.left_out == 6
    assert (matrix.speakers, matrix.incomplete, matrix.holes) == (150, 150, 120 * 23 + 30 * 24)


def test_a_corpus_without_labels_or_speakers_has_no_matrix(make_clips):
    clips = make_clips([(name, None, None, None) for name in "ab"])
    assert count_labels(clips, SECONDS) == [] and cross_speakers(clips, []) is None
    assert list_oddities(clips, [], None, []) == ["No clip has a label."]
    facts = dict(list_facts(clips, "unknown"))
    assert facts["speakers"] == "unknown" and facts["label"] == "none" and facts["clips"] == "2"


def test_spellings_of_one_label_are_named_before_what_is_counted_of_them(make_clips):
    """Symptom: labels were called rare, and speakers were said to lack them, since each was spelt in several ways."""
    clips = make_clips([("a", "s", None, "Happy"), ("b", "s", None, "happy"), ("c", "s", None, "sad")])
    first = list_oddities(clips, count_labels(clips, SECONDS), None, [])[0]
    assert first.startswith("Labels that differ by case alone count as different labels (Happy 1, happy 1)")
    assert first.endswith("The counts of this page are of labels as they are written, before any class_map.")


def test_facts_name_values_with_their_counts(clips):
    facts = dict(list_facts(clips, "1.00"))
    assert facts["sex"] == "male 3, female 2, unknown 1" and facts["label"] == "anger 3, joy 2, unknown 1"
    assert facts["speakers"] == "3" and facts["clips without a speaker"] == "1"


def test_one_speaker_with_most_clips_of_a_label_is_named(make_clips):
    clips = make_clips([(str(i), "max" if i < 8 else f"s{i}", None, "joy") for i in range(12)])
    labels = count_labels(clips, SECONDS)
    said = list_oddities(clips, labels, cross_speakers(clips, ["joy"]), [])
    assert "One speaker has half or more of a label's clips: 8 of 12 of joy (max)." in said
    assert "4 of 5 speakers have a single clip." in said


def test_what_a_model_could_learn_instead_comes_first(make_clips):
    """Symptom: the speaker with most clips of a label was the third of the points, and `anger` stood for men alone."""
    rows = [(f"j{i}", "max" if i < 8 else f"s{i}", "male", "joy") for i in range(12)]
    rows += [("a", "ann", "female", "fear"), ("b", "ann", "female", "awe"), ("c", None, None, None)]
    clips = make_clips(rows)
    labels = count_labels(clips, SECONDS)
    said = list_oddities(clips, labels, cross_speakers(clips, [one.label for one in labels]), [])
    assert said[0].startswith("One speaker has half or more of a label's clips: 8 of 12 of joy (max)")
    assert "Only women speak with the labels awe, fear." in said and "Only men speak with the label joy." in said


def test_statuses_and_reasons_are_those_of_the_tables(clips, make_feature):
    rows = [
        ("a", "ok", None), ("b", "ok", "clipped: 3% | offset: large"), ("c", "failed", "truncated: ends: at 2 s"),
        ("d", "absent", "upstream faces: no_face: none"), ("gone", "ok", None), ("e", "failed", "truncated"),
    ]  # fmt: skip
    feature = make_feature("rms", [(*row, {}) for row in rows])
    assert feature.strangers == 1
    (one,) = count_statuses([feature], 6)
    assert (one.ok, one.noted, one.absent, one.failed, one.missing) == (1, 1, 1, 2, 1)
    reasons = count_reasons(list_remarks([feature]))
    found = {(one.status, one.code): (one.clips, one.detail, one.examples) for one in reasons}
    assert found == {
        ("failed", "truncated"): (2, "ends: at 2 s", [2, 4]),
        ("noted", "clipped"): (1, "3%", [1]),
        ("noted", "offset"): (1, "large", [1]),
    }
    assert [one.status for one in reasons] == ["failed", "noted", "noted"]
    assert any(
        "2 clips could not be read" in said for said in list_oddities(clips, [], None, count_statuses([feature], 6))
    )


def test_copies_are_named_and_unreadable_files_are_none(tmp_path):
    marks = {"a": "x", "b": "y", "c": "x", "d": schema.UNREADABLE, "e": schema.UNREADABLE}
    rows = [
        {"utterance_id": f"talks/{name}", "media": f"{name}.wav", "fingerprint": mark} for name, mark in marks.items()
    ]
    # Two segments of one file are no copies.
    rows.append({"utterance_id": "talks/b#1.00-2.00", "media": "b.wav", "fingerprint": "y"})
    write_table(tmp_path / "000.parquet", rows, schema.MANIFEST)
    media = pl.Series([row["media"] for row in rows])
    assert list_copies([tmp_path / "000.parquet"], media) == [
        "2 files have the same content as another one: a.wav = c.wav."
    ]
    # A file that the corpus no longer has since the last run is no copy.
    assert list_copies([tmp_path / "000.parquet"], media.filter(media != "c.wav")) == []
    assert list_copies([], media) == []
