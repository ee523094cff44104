"""Tables of fairness, calibration and leaks, and what stands below the others."""

import json

import polars as pl
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.reporting.audits import COUNTS, build_calibration, build_leaks, sort_settings
from emoadapt.reporting.display import present_table
from emoadapt.reporting.exposure import leak_footnotes, select_footnotes
from emoadapt.reporting.notices import list_copies
from emoadapt.reporting.tables import read_tidy
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Model

SETTING = ["task", "test_corpus", "subset", *Model._fields]


@pytest.fixture
def tables(written):
    return written / "tables"


def read(paths, kind):
    return pl.from_arrow(read_table(paths, kind))


def test_fairness_is_the_mean_over_runs(inputs, tables):
    tidy = read_tidy(tables / "fairness.csv")
    chosen = dict(task="crema", test_corpus="crema_d", subset="64", backbone="tiny", start="multimodal", grouping="sex")
    runs = read(inputs.audits["fairness"], schema.FAIRNESS).filter(metric="macro_f1_gap", **chosen)
    row = tidy.filter(metric="macro_f1_gap", **chosen).row(0, named=True)
    assert (row["mean"], row["std"]) == pytest.approx((runs["value"].mean(), runs["value"].std()))
    assert (row["n_runs"], row["n"], row["groups"]) == (5, 240, 2)
    assert all(tidy.schema[name] == pl.Int64 for name in COUNTS if name in tidy.columns)


def test_fairness_names_the_lowest_speaker_and_the_widest_gap(tables):
    tidy = read_tidy(tables / "fairness.csv")
    shown = present_table("fairness", tidy)
    first = tidy.row(0, named=True)
    setting = tidy.filter(**{key: first[key] for key in SETTING})
    speakers = setting.filter(pl.col("group").is_not_null(), grouping="speaker").sort("mean")
    gaps = setting.filter(pl.col("label").is_not_null(), metric="recall_gap").sort("mean")
    row = shown.row(0, named=True)
    assert row["speakers"] == "9"
    assert row["lowest speaker"] == f"{speakers['mean'][0]:.3f} ({speakers['group'][0]}, {speakers['n'][0]} clips)"
    assert row["largest recall gap"] == f"{gaps['mean'][-1]:.3f} ({gaps['label'][-1]})"
    assert shown.height == tidy.select(SETTING).n_unique()


@pytest.mark.parametrize("name", ["results", "cross_corpus", "low_resource", "per_class_f1", "fairness", "calibration"])
def test_tables_for_readers_call_models_by_their_given_names(tables, name):
    tidy = read_tidy(tables / f"{name}.csv")
    shown = present_table(name, tidy, {"tiny.multimodal": "Adapted", "original": "as published"})
    called = {(row["backbone"], row["start"]) for row in tidy.iter_rows(named=True)}
    assert called and {
        "Adapted": ("tiny", "multimodal") in called,
        "tiny as published": ("tiny", "original") in called,
    } == {text: text in shown["model"].to_list() for text in ("Adapted", "tiny as published")}
    assert "tiny multimodal" not in shown["model"].to_list()


def test_calibration_has_every_metric_side_by_side(study, inputs, tables):
    tidy = read_tidy(tables / "calibration.csv")
    assert tidy.equals(build_calibration(study, read(inputs.audits["calibration"], schema.CALIBRATION)))
    row = present_table("calibration", tidy).row(0, named=True)
    assert {"ECE", "Brier score", "AURC", "accuracy of the surest 80 %"} <= set(row)
    assert "–" not in row.values()


def test_settings_stand_in_the_order_of_the_study(study):
    rows = [("improv", "msp_improv", "full", "wavlm", "original", "probe"), ("improv", "msp_improv", "full", "wavlm", "original", "default"),
            ("crema", "msp_improv", "64", "tiny", "original", "default"), ("crema", "crema_d", "full", "tiny", "original", "default"),
            ("crema", "crema_d", "256", "egemaps", "original", "mlp"), ("crema", "crema_d", "256", "tiny", "multimodal", "default"),
            ("crema", "crema_d", "256", "tiny", "original", "default")]  # fmt: skip
    frame = pl.DataFrame(rows, schema=SETTING, orient="row")
    assert sort_settings(study, frame).rows() == rows[::-1]


def test_leaks_are_footnotes_of_tables_about_models(study, inputs, tables):
    """Film 0 is the test clip crema_d/9, and improv clip 3 the training clip crema_d/3; speaker 8 is trained and tested on."""
    leaks = read(inputs.audits["leaks"], schema.LEAKS)
    notes = leak_footnotes(study, leaks)
    crema = "\n".join(notes["crema"])
    assert (
        "1 of the 60 test clips of msp_improv are recordings that are in train too (msp_improv/3): scores there"
        in crema
    )
    assert (
        "1 of the 11 test clips of crema_d are recordings that Stage 1 of multimodal used, without labels (crema_d/9)"
        in crema
    )
    assert "1 of the 2 test speakers of crema_d are in train too (s8)" in crema
    assert "Not known, and so not looked for: Stage-1 speakers of crema_d (Stage 1 (multimodal) / test)" in crema
    assert "transcripts" not in crema
    named = [f"crema: {note}" for note in notes["crema"]]
    *found, chance, runs = json.loads((tables / "low_resource.notes.json").read_text())
    assert (
        found == named
        and chance.startswith("chance: what needs no learning")
        and runs.startswith("crema: mean ± standard deviation over runs")
    )
    assert all(f"- {note}\n" in (tables / "low_resource.md").read_text() for note in named)
    several = select_footnotes(read_tidy(tables / "results.csv"), notes)
    assert several[0] == f"crema: {notes['crema'][0]}"
    assert not (tables / "data.notes.json").exists()


def test_leaks_that_could_not_be_looked_for_have_no_number(tables):
    shown = present_table("leaks", read_tidy(tables / "leaks.csv"))
    unknown = shown.filter(verdict="unknown")
    assert unknown.height and set(unknown["found"]) == {"–"}
    row = shown.filter(pl.col("task") == "crema", pl.col("between") == "train / test", pl.col("shared") == "speakers")
    assert row["found"].to_list()[0] == "1 of 2"


def make_leaks(*rows):
    """LEAKS rows from changes."""
    base = {
        "task": "t", "adaptation": None, "corpus": "c", "count": 2, "of": 9, "unchecked": 0, "folds": 1, "partitions": 1, "examples": ["c/1", "c/2"],
        "verdict": "reported",
    }  # fmt: skip
    return pl.from_arrow(pa.Table.from_pylist([base | row for row in rows], schema=schema.LEAKS))


COPIES = (
    {"kind": "duplicates", "between": "test / test"},
    {"kind": "duplicates", "between": "train / train"},
    {"kind": "clips", "between": "train / dev"},
    {"kind": "labels", "between": "task / task", "examples": ["c/1 = c/2: x vs y"]},
    {"kind": "stage1_copies", "between": "Stage 1 (a)", "adaptation": "a"},
    {"kind": "overlaps", "between": "train / test"},
)


def test_repeated_recordings_have_footnotes(study):
    notes = leak_footnotes(study, make_leaks(*COPIES))["t"]
    assert notes == [
        "2 of the 9 dev clips of c are recordings that are in train too (c/1, c/2): the epoch is chosen on clips that the model was "
        "trained on.",
        "2 of the 9 clips of c are recordings that have another label too (c/1 = c/2: x vs y): no model can be right about both.",
        "2 of the 9 test clips of c are recordings that are in test more than once (c/1, c/2): scores count each copy.",
        "2 of the 9 train clips of c are recordings that are in train more than once (c/1, c/2): each copy counts there.",
        "2 of the 9 test clips of c overlap in time with clips of train, by less than half of the shorter one (c/1, c/2): "
        "scores there may be a little too good.",
        "2 of the 9 clips of c are recordings that are in Stage 1 of a more than once (c/1, c/2): copies are on one side of its "
        "training and held-out parts, where each counts.",
    ]


def test_the_head_of_the_report_names_contradicting_labels_and_test_clips_that_count_twice():
    assert list_copies(build_leaks(make_leaks(*COPIES))) == [
        "2 of the 9 test clips of c (task t) are recordings that are there more than once: its scores count each copy.",
        "2 of the 9 clips of c (task t) are recordings that HAVE ANOTHER LABEL TOO (c/1 = c/2: x vs y): no model can be right about "
        "both.",
    ]


def test_the_head_of_the_report_says_that_only_readable_clips_were_compared():
    (sentence, *_) = list_copies(build_leaks(make_leaks(*(row | {"unchecked": 3} for row in COPIES))))
    assert sentence.startswith("2 of the 9 test clips of c that can be read (task t) are recordings")


def test_every_kind_of_leak_has_words_in_the_table():
    shown = present_table("leaks", build_leaks(make_leaks(*COPIES)))
    assert shown["shared"].to_list() == [
        "recordings, more than once", "recordings, more than once", "recordings", "recordings with another label",
        "recordings, more than once", "moments of a recording",
    ]  # fmt: skip
