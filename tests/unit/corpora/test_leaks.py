"""What a test set shares with what came before it: found, counted, refused or reported."""

from __future__ import annotations

from itertools import count

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.corpora.leaks import (
    check_training,
    describe_clips,
    explain_refusals,
    find_leaks,
    write_leaks,
)
from emoadapt.corpora.overlap import EMPTY
from emoadapt.errors import ConfigError, CorpusError
from emoadapt.flow.store import read_table, write_table

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


def split_rows(**parts):
    """SPLITS rows from fold_part: ids with speakers, for example `train=[("c/1", "a")]` (fold 0) or `test1=...` (fold 1)."""
    rows = []
    for key, clips in parts.items():
        part, fold = key.rstrip("01"), int(key[-1]) if key[-1].isdigit() else 0
        for name, speaker in clips:
            base = dict.fromkeys(SPLITS)
            rows.append(
                base | {"utterance_id": name, "corpus": name.split("/")[0], "speaker": speaker, "label": "x", "fold": fold, "split": part}
            )  # fmt: skip
    return pl.DataFrame(rows, schema=SPLITS)


def leaks_of(study, splits, *manifests, stage1=()):
    frames = dict(zip(("c", "d", "films"), manifests, strict=False))
    heard = {name: study.adaptations[name].corpora for name in stage1}
    return find_leaks("t", study.tasks["t"], splits, describe_clips(study, frames), heard)


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
    # Of `c`: three pairs for speakers, one for clips, development, transcripts, two for Stage 1; of `d` one less.
    assert leaks.group_by("corpus").len().sort("corpus").rows() == [("c", 8), ("d", 7)]


def test_recordings_of_train_and_development_are_refused():
    same = {"fingerprint": "one"}
    leaks = leaks_of(make_study(), CLEAN, *clean_manifests(c1=same, c4=same, d1=same))
    assert row_of(leaks, "clips") | {"unchecked": 0} == {
        "task": "t", "kind": "clips", "between": "train / test", "adaptation": None, "corpus": "c", "count": 1, "of": 2,
        "unchecked": 0, "folds": 1, "examples": ["c/4"], "verdict": "refused",
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
    early, late = ({"fingerprint": "one", "start": start, "end": start + 2.0} for start in (0.0, 1.5))
    assert row_of(leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=late)), "clips")["count"] == 1
    assert (
        row_of(leaks_of(make_study(), CLEAN, *clean_manifests(c1=early, c4=late | {"start": 2.0})), "clips")["count"]
        == 0
    )


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
    (sentence,) = explain_refusals(leaks)
    assert sentence == (
        "task t: 4 of the 4 test clips of c are recordings that are in train too (c/5, c/6, c/7, ...); take the copies out of "
        "the corpus, or c out of tasks.t.test_also, or accept it with tasks.t.leaks: {clips: report}"
    )


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
        "2 of the 3 test speakers of c (in 2 folds) are in train too (a, e); choose another"
        in explain_refusals(leaks)[1]
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
    refusing = make_study(leaks={"stage1_clips": "refuse"})
    refused = explain_refusals(leaks_of(refusing, CLEAN, *clean_manifests(**changes), stage1=["adapted"]))
    assert len(refused) == 1
    assert "1 of the 2 test clips of c are recordings that Stage 1 of adapted heard, without labels (c/4)" in refused[0]


@pytest.mark.parametrize(
    "accepted",
    [{"allow_speaker_overlap": True}, {"leaks": {"speakers": "report", "clips": "report", "development": "report"}}],
)
def test_what_is_accepted_is_reported(accepted):
    same = {"fingerprint": "one", "speaker": "a"}
    leaks = leaks_of(make_study(**accepted), CLEAN, *clean_manifests(c1=same, c3=same, c4=same))
    assert explain_refusals(leaks) == []
    assert {(row["kind"], row["verdict"]) for row in leaks.filter(pl.col("count") > 0).to_dicts()} == {
        ("speakers", "reported"), ("clips", "reported"), ("development", "reported")
    }  # fmt: skip


def test_one_thing_is_said_in_one_place():
    with pytest.raises(ConfigError, match=r"allow_speaker_overlap: true is short for leaks: .* keep leaks alone"):
        make_study(allow_speaker_overlap=True, leaks={"speakers": "report"})
    assert make_study(allow_speaker_overlap=True, leaks={"stage1_clips": "refuse"}).tasks["t"].refuses("stage1_clips")


def test_a_refused_task_leaves_no_table_and_trains_only_what_is_clean(tmp_path):
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
    with pytest.raises(CorpusError, match=r"Stage 1 of adapted heard"):
        check_training(study, "t", "adapted", splits, paths)
    write_leaks(make_study(), "t", splits, paths, output)
    assert read_table(output, schema.LEAKS).num_rows == 15
