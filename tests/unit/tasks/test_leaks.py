"""What a test set shares with what came before it: found, counted, refused or reported."""

from __future__ import annotations

from itertools import count

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.errors import CorpusError
from emoadapt.storage.tables import read_table, write_table
from emoadapt.tasks.leaks import (
    describe_clips,
    describe_leak,
    describe_unchecked,
    explain_refusals,
    find_leaks,
    write_leaks,
)
from emoadapt.tasks.overlap import EMPTY
from emoadapt.tasks.refusals import check_training

MANIFEST = dict(pl.DataFrame(schema.MANIFEST.empty_table()).schema)
SPLITS = dict(pl.DataFrame(schema.SPLITS.empty_table()).schema)


def make_study(**task):
    values = {
        "study": "s",
        "corpora": {
            "c": {"importer": "csv", "root": "one", "file": "a.csv"},
            "d": {"importer": "csv", "root": "two", "file": "a.csv"},
            "films": {"importer": "csv", "root": "one", "file": "b.csv"},
        },
        "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
        "adaptations": {"adapted": {"corpora": ["films"], "objectives": {"egemaps": 1.0}}},
        "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "official"}, "test_also": ["d"]} | task},
    }
    return load_study(values)


def manifest(*rows):
    """MANIFEST rows from (utterance_id, speaker, changes); every clip is a recording of its own unless changed."""
    own = count()
    default = dict.fromkeys(MANIFEST) | {"media": "m.wav"}
    filled = [
        default | {"utterance_id": name, "speaker": speaker, "fingerprint": f"{name}{next(own)}"} | changes
        for name, speaker, changes in rows
    ]
    return pl.DataFrame(filled, schema=MANIFEST)


def split_rows(labels=(), **parts):
    """SPLITS rows from fold_part: ids with speakers, for example `train=[("c/1", "a")]` (fold 0) or `test1=...` (fold 1).

    Labels are `x`, unless `labels` (id -> label) has another.
    """
    labels = dict(labels)
    rows = []
    for key, clips in parts.items():
        part, fold = key.rstrip("01"), int(key[-1]) if key[-1].isdigit() else 0
        for name, speaker in clips:
            base = dict.fromkeys(SPLITS)
            rows.append(
                base | {"utterance_id": name, "corpus": name.split("/")[0], "speaker": speaker, "label": labels.get(name, "x"), "partition": 0, "fold": fold, "split": part}
            )  # fmt: skip
    return pl.DataFrame(rows, schema=SPLITS)


def list_refusals(leaks):
    return [str(problem) for problem in explain_refusals(leaks)]


def leaks_of(study, splits, *manifests, stage1=()):
    frames = dict(zip(("c", "d", "films"), manifests, strict=False))
    heard = {name: study.adaptations[name].corpora for name in stage1}
    arguments = "t", study.tasks["t"], splits, describe_clips(study, frames), heard
    found = find_leaks(*arguments)
    refused = find_leaks(*arguments, only_refused=True)
    assert explain_refusals(refused) == explain_refusals(found), "what stops a training is what stops the task"
    return found


def doubts_of(study, splits, *manifests, stage1=()):
    clips = describe_clips(study, dict(zip(("c", "d", "films"), manifests, strict=False)))
    heard = {name: study.adaptations[name].corpora for name in stage1}
    leaks = find_leaks("t", study.tasks["t"], splits, clips, heard)
    return describe_unchecked(study.tasks["t"], leaks, splits, clips, heard)


def row_of(leaks, kind, between="train / test", corpus="c"):
    return leaks.filter(kind=kind, between=between, corpus=corpus).row(0, named=True)


CLEAN = split_rows(
    train=[("c/1", "a"), ("c/2", "a")], dev=[("c/3", "b")], test=[("c/4", "e"), ("c/5", "f"), ("d/1", "a")]
)


def clean_manifests(**changes):
    """Manifests of `c`, `d` and `films`; changes: `c4={...}` of one clip."""
    speakers = {"c/1": "a", "c/2": "a", "c/3": "b", "c/4": "e", "c/5": "f", "d/1": "a", "films/1": "z", "films/2": "z"}
    rows = [(name, who, changes.get(name.replace("/", ""), {})) for name, who in speakers.items()]
    return [manifest(*(row for row in rows if row[0].startswith(f"{corpus}/"))) for corpus in ("c", "d", "films")]


def test_a_clean_task_has_a_row_for_every_check_and_no_leak():
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(), stage1=["adapted"])
    # Speaker `a` of another folder is another person.
    assert set(leaks["verdict"]) == {"none", "unknown"}
    assert set(leaks.filter(verdict="unknown")["kind"]) == {"transcripts"}
    assert leaks["count"].sum() == 0
    assert leaks.select("kind", "between", "corpus").is_unique().all()
    # Of `c`: speakers of three pairs, clips of two, development, overlaps of two, transcripts, duplicates of three parts, labels, two of Stage 1;
    # of `d`, which is tested on only, those of test. Of `films`: copies within Stage 1.
    assert leaks.group_by("corpus").len().sort("corpus").rows() == [("c", 15), ("d", 11), ("films", 1)]


def test_recordings_of_train_and_development_are_refused():
    same = {"fingerprint": "one"}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=same, c4=same, d1=same))
    assert row_of(leaks, "clips") | {"unchecked": 0} == {
        "task": "t", "kind": "clips", "between": "train / test", "adaptation": None, "corpus": "c", "count": 1, "of": 2,
        "unchecked": 0, "folds": 1, "partitions": 1, "examples": ["c/4"], "verdict": "refused",
    }  # fmt: skip
    assert row_of(leaks, "clips", corpus="d")["examples"] == ["d/1"]
    assert row_of(leaks, "development", "dev / test")["verdict"] == "none"
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c3=same, c5=same))
    assert (
        row_of(leaks, "development", "dev / test")["count"],
        row_of(leaks, "development", "dev / test")["verdict"],
    ) == (1, "refused")
    assert row_of(leaks, "clips")["verdict"] == "none"


def test_segments_that_overlap_are_the_same_recording():
    early, late = ({"fingerprint": "one", "start": start, "end": start + 2.0} for start in (0.0, 1.0))
    assert row_of(leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=late)), "clips")["count"] == 1
    assert (
        row_of(leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=late | {"start": 2.0})), "clips")["count"]
        == 0
    )


def test_neighbours_that_overlap_a_little_are_reported_and_not_refused():
    early, late = ({"fingerprint": "one", "start": start, "end": start + 2.0} for start in (0.0, 1.5))
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=late))
    assert not list_refusals(leaks)
    row = row_of(leaks, "overlaps")
    assert (row["count"], row["verdict"]) == (1, "reported")
    assert describe_leak(row) == (
        "1 of the 2 test clips of c overlap in time with clips of train, by less than half of the shorter one (c/4)"
    )
    assert row_of(leaks, "overlaps", "dev / test")["verdict"] == "none"
    copies = leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=early))
    assert row_of(copies, "overlaps")["count"] == 0


def test_recordings_of_train_in_development_are_refused():
    """The epoch would be chosen on clips that were trained on."""
    same = {"fingerprint": "one"}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=same, c3=same))
    row = row_of(leaks, "clips", "train / dev")
    assert (row["count"], row["of"], row["examples"], row["verdict"]) == (1, 1, ["c/3"], "refused")
    assert "task t: 1 of the 1 dev clips of c are recordings that are in train too (c/3)" in list_refusals(leaks)[0]
    assert row_of(leaks, "clips")["count"] == 0


@pytest.mark.parametrize("late", ["c4", "d1"])
def test_copies_of_unknown_speakers_are_found_by_content(late):
    unknown = {name.replace("/", ""): {"speaker": None} for name in CLEAN["utterance_id"]}
    splits = CLEAN.with_columns(speaker=pl.lit(None, pl.String))
    for early, kind, between in (("c1", "clips", "train / test"), ("c3", "development", "dev / test")):
        changes = unknown | {name: {"speaker": None, "fingerprint": "one"} for name in (early, late)}
        row = row_of(leaks_of(make_study(), splits, *clean_manifests(**changes)), kind, between, late[0])
        assert (row["examples"], row["verdict"]) == ([f"{late[0]}/{late[1]}"], "refused")


def test_recordings_twice_in_one_part_are_counted_and_may_be_refused():
    """Clips 1 and 2 are both in train, 4 and 5 in test, where an overlap of segments is enough."""
    early, late = ({"fingerprint": "two", "start": start, "end": start + 2.0} for start in (0.0, 1.0))
    changes = {"c1": {"fingerprint": "one"}, "c2": {"fingerprint": "one"}, "c4": early, "c5": late}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(**changes))
    assert [row_of(leaks, "duplicates", f"{part} / {part}")["examples"] for part in ("train", "dev", "test")] == [
        ["c/1", "c/2"], [], ["c/4", "c/5"]
    ]  # fmt: skip
    row = row_of(leaks, "duplicates", "test / test")
    assert (row["count"], row["of"], row["verdict"]) == (2, 2, "reported")
    assert describe_leak(row) == "2 of the 2 test clips of c are recordings that are in test more than once (c/4, c/5)"
    refused = list_refusals(leaks_of(make_study(leaks={"duplicates": "refuse"}), CLEAN, *clean_manifests(**changes)))
    assert len(refused) == 2 and refused[0].endswith("or accept it with tasks.t.leaks: {duplicates: report}")


def test_a_recording_with_two_labels_is_named_with_both():
    """Within a corpus and across those of a task; equal labels contradict nobody."""
    splits = CLEAN.with_columns(label=pl.col("utterance_id").replace_strict({"c/2": "y", "d/1": "y"}, default="x"))
    changes = {
        "c1": {"fingerprint": "one"},
        "c2": {"fingerprint": "one"},
        "c5": {"fingerprint": "two"},
        "d1": {"fingerprint": "two"},
    }
    same = {"c3": {"fingerprint": "three"}, "c4": {"fingerprint": "three"}}
    leaks = leaks_of(make_study(), splits, *clean_manifests(**changes, **same))
    row = row_of(leaks, "labels", "task / task")
    assert (row["count"], row["of"], row["verdict"]) == (3, 5, "reported")
    assert row["examples"] == ["c/1 = c/2: x vs y", "c/5 = d/1: x vs y"]
    assert row_of(leaks, "labels", "task / task", "d")["examples"] == ["c/5 = d/1: x vs y"]
    assert describe_leak(row) == (
        "3 of the 5 clips of c are recordings that have another label too (c/1 = c/2: x vs y; c/5 = d/1: x vs y)"
    )


def test_five_pairs_of_labels_are_shown_and_it_is_said_that_there_are_more():
    clips = [(f"c/{number:02d}", None) for number in range(14)]
    splits = split_rows(labels={name: "y" for name, _ in clips[:7]}, train=clips[:5], dev=clips[5:9], test=clips[9:])
    frame = manifest(*((name, None, {"fingerprint": f"r{place % 7}"}) for place, (name, _) in enumerate(clips)))
    row = row_of(leaks_of(make_study(), splits, frame, manifest()), "labels", "task / task")
    assert row["count"] == 14
    pairs = [f"c/0{n} = c/{n + 7:02d}: y vs x" for n in range(5)]
    assert row["examples"] == [*pairs, "... (cut after 5 pairs; 14 clips are in such pairs)"]


def test_a_recording_rated_twice_is_named_with_both_values():
    study = make_study(classes=[], attributes=["valence"], test_also=[])
    splits = CLEAN.filter(corpus="c").with_columns(
        label=pl.lit(None, pl.String), valence=pl.Series([1.0, 5.0, None, 2.0, 2.0])
    )
    same = {name: {"fingerprint": "one"} for name in ("c1", "c2", "c3")} | {
        name: {"fingerprint": "two"} for name in ("c4", "c5")
    }
    row = row_of(leaks_of(study, splits, *clean_manifests(**same)), "labels", "task / task")
    assert (row["count"], row["examples"]) == (2, ["c/1 = c/2: valence 1.0 vs valence 5.0"])


def test_files_that_cannot_be_read_share_nothing():
    unreadable, empty = {"fingerprint": schema.UNREADABLE}, {"fingerprint": EMPTY}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=unreadable, c4=unreadable, c2=empty, c5=empty))
    row = row_of(leaks, "clips")
    assert (row["count"], row["of"], row["unchecked"]) == (0, 1, 2)


def test_the_message_names_task_number_examples_and_a_way_out():
    clips = {f"c{i}": {"fingerprint": f"r{i % 4}"} for i in range(1, 9)}
    rows = [(f"c/{i}", "a" if i < 5 else "e", clips[f"c{i}"]) for i in range(1, 9)]
    splits = split_rows(
        train=[(name, who) for name, who, _ in rows[:4]], dev=[("c/9", "b")], test=[r[:2] for r in rows[4:]]
    )
    leaks = leaks_of(make_study(), splits, manifest(*rows, ("c/9", "b", {})), manifest())
    (sentence,) = list_refusals(leaks)
    assert sentence == (
        "task t: 4 of the 4 test clips of c are recordings that are in train too (c/5, c/6, c/7, ...); take the copies out of "
        "the corpus, or accept it with tasks.t.leaks: {clips: report}"
    )


def test_only_a_corpus_that_is_also_tested_on_can_be_taken_out_of_test_also():
    same = {"fingerprint": "one"}
    sentences = list_refusals(leaks_of(make_study(), CLEAN, *clean_manifests(c1=same, c3=same, c4=same, d1=same)))
    assert len(sentences) == 5
    for sentence in sentences:
        also = "clips of d are" in sentence
        assert ("take the copies out of the corpus, or d out of tasks.t.test_also, or accept" in sentence) == also
        assert ("take the copies out of the corpus, or accept" in sentence) != also


def test_clips_that_could_not_be_compared_are_counted():
    splits = CLEAN.with_columns(speaker=pl.when(pl.col("utterance_id") != "c/4").then("speaker"))
    changes = {"c4": {"speaker": None}, "c1": {"fingerprint": schema.UNREADABLE}}
    manifests = clean_manifests(**changes)
    study = make_study()
    assert doubts_of(study, splits, *manifests) == [
        "1 clip of c has no speaker: whether these people are in more than one part is unknown",
        "1 clip of c cannot be read: whether these recordings are in more than one part is unknown",
        "1 clip of c cannot be read: whether these recordings are in both train and the test set of d is unknown",
    ]
    strict = make_study(leaks={"transcripts": "refuse"})
    sentences = doubts_of(strict, splits, *clean_manifests())
    assert "5 clips of c have no transcript: whether these sentences are in more than one part is unknown" in sentences


def test_clips_of_stage1_that_could_not_be_compared_are_named_with_their_corpus():
    """Symptom: `shared speakers were not looked for among clips without a speaker (of d, Stage 1 (adapted) / test 11)`."""
    study = make_study()
    for changes, said in {
        ("films1",): "1 clip of films has no speaker: whether these people are in the test set of c is unknown",
        ("c4",): "1 clip of c has no speaker: whether Stage 1 of adapted used these people is unknown",
    }.items():
        nobody = {name: {"speaker": None} for name in changes}
        assert said in doubts_of(study, CLEAN, *clean_manifests(**nobody), stage1=["adapted"])


def test_speakers_are_counted_once_over_folds():
    splits = split_rows(
        train=[("c/1", "a")], dev=[("c/3", "b")], test=[("c/2", "a")],
        train1=[("c/1", "a"), ("c/4", "e")], dev1=[("c/2", "a")], test1=[("c/5", "e"), ("c/3", "b")],
    )  # fmt: skip
    manifests = manifest(*((f"c/{i}", who, {}) for i, who in enumerate("aabee", start=1)))
    leaks = leaks_of(make_study(), splits, manifests, manifest())
    assert [row_of(leaks, "speakers", between)["examples"] for between in ("train / test", "train / dev", "dev / test")] == [
        ["a", "e"], ["a"], []
    ]  # fmt: skip
    row = row_of(leaks, "speakers")
    assert (row["count"], row["of"], row["folds"], row["verdict"]) == (2, 3, 2, "refused")
    assert (
        "2 of the 3 test speakers of c (in 2 folds) are in train too (a, e); choose another" in list_refusals(leaks)[1]
    )


def test_unknown_speakers_are_said_to_be_unknown():
    unknown = split_rows(train=[("c/1", None)], dev=[("c/2", None)], test=[("c/3", None)])
    leaks = leaks_of(make_study(), unknown, manifest(*((f"c/{i}", None, {}) for i in (1, 2, 3))), manifest())
    row = row_of(leaks, "speakers")
    assert (row["count"], row["of"], row["unchecked"], row["verdict"]) == (0, 0, 2, "unknown")


def test_sentences_are_compared_without_case_and_punctuation():
    said = {
        "c1": "It's eleven o'clock!",
        "c2": "Oh, no.",
        "c4": "its  ELEVEN o\u2019clock",
        "c5": "Oh no",
        "d1": "Something else here",
    }
    leaks = leaks_of(
        make_study(), CLEAN, *clean_manifests(**{name: {"transcript": text} for name, text in said.items()})
    )
    row = row_of(leaks, "transcripts")
    # "Oh, no" is too short to count.
    assert (row["count"], row["of"], row["examples"], row["verdict"]) == (1, 2, ["its eleven oclock"], "reported")
    assert row_of(leaks, "transcripts", corpus="d")["verdict"] == "none"


def test_stage1_is_compared_with_every_test_set():
    """A test clip in another corpus of the same folder is known by its content, its speaker by the folder."""
    changes = {"films1": {"fingerprint": "one"}, "c4": {"fingerprint": "one"}, "films2": {"speaker": "f"}}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(**changes), stage1=["adapted"])
    between = "Stage 1 (adapted) / test"
    clips, people = (row_of(leaks, kind, between) for kind in ("stage1_clips", "stage1_speakers"))
    assert (clips["count"], clips["of"], clips["examples"], clips["verdict"]) == (1, 2, ["c/4"], "reported")
    assert (people["count"], people["of"], people["examples"], people["adaptation"]) == (1, 2, ["f"], "adapted")
    assert row_of(leaks, "stage1_clips", between, "d")["verdict"] == "none"
    assert row_of(leaks, "stage1_copies", "Stage 1 (adapted)", "films")["verdict"] == "none"
    refusing = make_study(leaks={"stage1_clips": "refuse"})
    refused = list_refusals(leaks_of(refusing, CLEAN, *clean_manifests(**changes), stage1=["adapted"]))
    assert len(refused) == 1
    assert "1 of the 2 test clips of c are recordings that Stage 1 of adapted used, without labels (c/4)" in refused[0]


def test_copies_within_stage1_are_counted_and_stop_nothing():
    changes = {"films1": {"fingerprint": "one"}, "films2": {"fingerprint": "one"}}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(**changes), stage1=["adapted"])
    row = row_of(leaks, "stage1_copies", "Stage 1 (adapted)", "films")
    assert (row["count"], row["of"], row["adaptation"], row["verdict"]) == (2, 2, "adapted", "reported")
    assert describe_leak(row) == (
        "2 of the 2 clips of films are recordings that are in Stage 1 of adapted more than once (films/1, films/2)"
    )
    assert list_refusals(leaks) == []


def test_a_leak_in_any_partition_is_refused_and_counts_once():
    """Speaker a is in train and test in the second and third partition only."""
    clean = split_rows(train=[("c/1", "a")], dev=[("c/2", "b")], test=[("c/3", "c")])
    mixed = split_rows(train=[("c/1", "a")], dev=[("c/2", "b")], test=[("c/4", "a")])
    splits = pl.concat([clean, *(mixed.with_columns(partition=pl.lit(i, dtype=SPLITS["partition"])) for i in (1, 2))])
    rows = manifest(("c/1", "a", {}), ("c/2", "b", {}), ("c/3", "c", {}), ("c/4", "a", {}))
    study = make_study(split={"by": "fractions"}, partitions=3, test_also=[])
    row = row_of(leaks_of(study, splits, rows), "speakers")
    assert (row["count"], row["of"], row["folds"], row["verdict"]) == (1, 2, 2, "refused")
    assert row_of(leaks_of(study, splits.filter(partition=0), rows), "speakers")["verdict"] == "none"


def test_segments_of_one_file_are_one_recording_where_parents_are_scored():
    """Two neighbours overlap by a quarter: no copies, but their outputs would be averaged across train and test."""
    splits = split_rows(train=[("c/1", "a")], dev=[("c/2", "b")], test=[("c/3", "c")])
    film = {"fingerprint": "film"}
    rows = manifest(
        ("c/1", "a", film | {"start": 0.0, "end": 2.0}),
        ("c/2", "b", {}),
        ("c/3", "c", film | {"start": 1.5, "end": 3.5}),
    )
    found = {
        score: row_of(leaks_of(make_study(score=score, test_also=[]), splits, rows), "clips")["verdict"]
        for score in ("utterances", "parents")
    }
    assert found == {"utterances": "none", "parents": "refused"}


def test_a_corpus_that_only_trains_is_not_looked_for_among_test_clips():
    study = make_study(split={"by": "all"})
    splits = split_rows(train=[("c/1", "a")], dev=[("c/2", "b")], test=[("d/3", "a")])
    leaks = leaks_of(study, splits, *clean_manifests(), stage1=["adapted"])
    tested = leaks.filter(pl.col("between").str.ends_with("/ test"))
    assert set(tested["corpus"]) == {"d"}
    assert set(leaks.filter(pl.col("between").is_in(["train / dev", "train / train"]))["corpus"]) == {"c"}


def test_accepted_leaks_are_reported():
    accepted = {"leaks": {"speakers": "report", "clips": "report", "development": "report"}}
    same = {"fingerprint": "one", "speaker": "a"}
    leaks = leaks_of(make_study(**accepted), CLEAN, *clean_manifests(c1=same, c3=same, c4=same))
    assert list_refusals(leaks) == []
    assert {(row["kind"], row["verdict"]) for row in leaks.filter(pl.col("count") > 0).to_dicts()} == {
        ("speakers", "reported"), ("clips", "reported"), ("development", "reported")
    }  # fmt: skip


def test_a_refused_task_has_no_table_and_trains_only_clean_starts(tmp_path):
    """The contaminated Stage 1 concerns trainings that start from it, and no other."""
    study = make_study(leaks={"stage1_clips": "refuse"})
    changes = {"films1": {"fingerprint": "one"}, "c4": {"fingerprint": "one"}}
    paths = []
    for corpus, frame in zip(("c", "d", "films"), clean_manifests(**changes), strict=True):
        paths.append(tmp_path / corpus / "000.parquet")
        write_table(paths[-1], frame.to_arrow(), schema.MANIFEST)
    splits, output = tmp_path / "splits.parquet", tmp_path / "leaks.parquet"
    write_table(splits, CLEAN.to_arrow(), schema.SPLITS)
    with pytest.raises(CorpusError, match=r"task t: 1 of the 2 test clips"):
        write_leaks(study, "t", splits, paths, output)
    assert not output.exists()
    check_training(study, "t", "original", splits, paths[:2])
    with pytest.raises(CorpusError, match=r"Stage 1 of adapted used"):
        check_training(study, "t", "adapted", splits, paths)
    write_leaks(make_study(), "t", splits, paths, output)
    assert read_table(output, schema.LEAKS).num_rows == 27


def split_twice(partitions, folds):
    """Speaker a is in train and test of every fold of every partition."""
    rows = split_rows(train=[("c/1", "a")], dev=[("c/2", "b")], test=[("c/3", "a")])
    numbers = [pl.lit(place, dtype=pl.Int32) for place in range(max(partitions, folds))]
    return pl.concat(
        rows.with_columns(partition=numbers[p], fold=numbers[f]) for p in range(partitions) for f in range(folds)
    )


@pytest.mark.parametrize(
    ("partitions", "folds", "where"),
    [(1, 1, ""), (1, 3, " (in 3 folds)"), (5, 1, " (in 5 partitions)"), (5, 3, " (in 15 folds of 5 partitions)")],
)
def test_a_leak_names_the_folds_and_the_partitions_it_is_in(partitions, folds, where):
    same = {"fingerprint": "one", "transcript": "It is eleven o'clock"}
    rows = manifest(("c/1", "a", same), ("c/2", "b", {}), ("c/3", "a", same))
    leaks = leaks_of(make_study(test_also=[]), split_twice(partitions, folds), rows)
    found = leaks.filter(pl.col("count") > 0, pl.col("between") == "train / test")
    assert set(found["kind"]) == {"speakers", "clips", "transcripts"}
    for row in found.iter_rows(named=True):
        assert (row["folds"], row["partitions"]) == (partitions * folds, partitions)
        assert f" of c{where} " in describe_leak(row).replace(" with a transcript", "")


def test_a_leak_says_that_only_some_clips_were_compared():
    """Clip 5 has no transcript and cannot be read: neither is it compared, nor does it count."""
    same = {"fingerprint": "one", "transcript": "It is eleven o'clock"}
    broken = {"fingerprint": schema.UNREADABLE}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=same, c4=same, c5=broken))
    assert describe_leak(row_of(leaks, "transcripts")).startswith(
        "1 of the 1 test clips of c with a transcript say sentences"
    )
    assert describe_leak(row_of(leaks, "clips")).startswith(
        "1 of the 1 test clips of c that can be read are recordings"
    )
    spoken = {f"c{i}": {"transcript": "It is eleven o'clock"} for i in (1, 2, 4, 5)}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(**spoken))
    assert describe_leak(row_of(leaks, "transcripts")).startswith("2 of the 2 test clips of c say sentences")


@pytest.mark.parametrize("segments", [None, {"seconds": 2, "overlap": 1.5}])
def test_overlapping_segments_of_one_clip_are_no_duplicates(segments):
    """Only where `segments` cut them; a copy of the file is one in either case, and so are its segments."""
    values = make_study().model_dump(exclude_unset=True)
    for corpus in ("c", "films"):
        values["corpora"][corpus] |= {"segments": segments} if segments else {}
    study = load_study(values)
    cuts = [(f"{start:.2f}-{start + 2:.2f}", {"start": start, "end": start + 2}) for start in (0.0, 0.5, 1.0)]

    def cut(clip, content):
        return [(f"{clip}#{times}", "a", {"fingerprint": content} | bounds) for times, bounds in cuts]

    def count(rows):
        splits = split_rows(**{part: [row[:2] for row in rows] for part in ("train", "dev", "test")})
        films = manifest(*((name.replace("c/", "films/"), who, changes) for name, who, changes in rows))
        leaks = leaks_of(study, splits, manifest(*rows), manifest(), films, stage1=["adapted"])
        own = [row_of(leaks, "duplicates", f"{part} / {part}")["count"] for part in ("train", "dev", "test")]
        return {*own, row_of(leaks, "stage1_copies", "Stage 1 (adapted)", "films")["count"]}

    single = cut("c/1", "one")
    assert count(single) == ({0} if segments else {3})
    assert count([*single, *cut("c/2", "one")]) == {6}
    assert count([*single, *cut("c/3", "other")]) == ({0} if segments else {6})


def test_kinds_that_are_only_reported_are_not_looked_for_before_a_training():
    study, names = make_study(), ("c", "d", "films")
    clips = describe_clips(study, dict(zip(names, clean_manifests(), strict=True)))
    rows = find_leaks("t", study.tasks["t"], CLEAN, clips, {"adapted": ["films"]}, only_refused=True)
    assert set(rows["kind"]) == {"speakers", "clips", "development"}


def test_what_a_target_shares_with_its_unlabelled_part_is_reported():
    """Speaker p is in both parts; d/3 is a copy of d/1."""
    splits = split_rows(
        train=[("c/1", "a"), ("c/2", "a")], dev=[("c/3", "b")],
        unlabelled=[("d/1", "p"), ("d/2", "q")], test=[("d/3", "p"), ("d/4", "r")],
    )  # fmt: skip
    same = {"fingerprint": "one"}
    clips = [
        manifest(("c/1", "a", {}), ("c/2", "a", {}), ("c/3", "b", {})),
        manifest(("d/1", "p", same), ("d/2", "q", {}), ("d/3", "p", same), ("d/4", "r", {})),
        manifest(),
    ]
    values = {"split": {"by": "all"}, "test_also": [], "target": {"corpus": "d"}}
    leaks = leaks_of(make_study(**values), splits, *clips)
    copies, people = (row_of(leaks, kind, "unlabelled / test", "d") for kind in ("target_clips", "target_speakers"))
    assert (copies["count"], copies["of"], copies["verdict"]) == (1, 2, "reported")
    assert (people["count"], people["of"], people["verdict"]) == (1, 2, "reported")
    assert describe_leak(people) == "1 of the 2 test speakers of d are in its unlabelled part too (p)"
    said = "1 of the 2 test clips of d are recordings that are in its unlabelled part too (d/3)"
    assert describe_leak(copies) == said
    refused = leaks_of(make_study(**values, leaks={"target_speakers": "refuse"}), splits, *clips)
    (sentence,) = list_refusals(refused)
    assert "set tasks.t.target.unit: speakers" in sentence and "leaks: {target_speakers: report}" in sentence
