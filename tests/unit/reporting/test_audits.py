"""Tables of fairness, calibration and leaks, and what stands below the others."""

import json

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.flow.store import read_table
from emoadapt.reporting.audits import COUNTS, build_calibration, sort_settings
from emoadapt.reporting.display import present_table
from emoadapt.reporting.exposure import leak_footnotes, select_footnotes
from emoadapt.reporting.tables import read_tidy


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
    setting = tidy.filter(**{key: first[key] for key in ("task", "test_corpus", "subset", "backbone", "start")})
    speakers = setting.filter(pl.col("group").is_not_null(), grouping="speaker").sort("mean")
    gaps = setting.filter(pl.col("label").is_not_null(), metric="recall_gap").sort("mean")
    row = shown.row(0, named=True)
    assert row["speakers"] == "9"
    assert row["lowest speaker"] == f"{speakers['mean'][0]:.3f} ({speakers['group'][0]}, {speakers['n'][0]} clips)"
    assert row["largest recall gap"] == f"{gaps['mean'][-1]:.3f} ({gaps['label'][-1]})"
    assert shown.height == tidy.select("task", "test_corpus", "subset", "backbone", "start").n_unique()


def test_calibration_has_every_metric_side_by_side(study, inputs, tables):
    tidy = read_tidy(tables / "calibration.csv")
    assert tidy.equals(build_calibration(study, read(inputs.audits["calibration"], schema.CALIBRATION)))
    row = present_table("calibration", tidy).row(0, named=True)
    assert {"ECE", "Brier score", "AURC", "accuracy of the surest 80 %"} <= set(row)
    assert "–" not in row.values()


def test_settings_stand_in_the_order_of_the_study(study):
    names = ("task", "test_corpus", "subset", "backbone", "start")
    rows = [("improv", "msp_improv", "full", "wavlm", "original"), ("crema", "msp_improv", "64", "tiny", "original"),
            ("crema", "crema_d", "full", "tiny", "original"), ("crema", "crema_d", "256", "handcrafted", "egemaps"),
            ("crema", "crema_d", "256", "tiny", "multimodal"), ("crema", "crema_d", "256", "tiny", "original")]  # fmt: skip
    frame = pl.DataFrame(rows, schema=names, orient="row")
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
        "1 of the 11 test clips of crema_d are recordings that Stage 1 of multimodal heard, without labels (crema_d/9)"
        in crema
    )
    assert "1 of the 2 test speakers of crema_d are in train too (s8)" in crema
    assert "Not known, and so not looked for: Stage-1 speakers of crema_d (Stage 1 (multimodal) / test)" in crema
    assert "transcripts" not in crema
    assert json.loads((tables / "low_resource.notes.json").read_text()) == notes["crema"]
    assert all(f"- {note}\n" in (tables / "low_resource.md").read_text() for note in notes["crema"])
    several = select_footnotes(read_tidy(tables / "results.csv"), notes)
    assert several[0] == f"crema: {notes['crema'][0]}"
    assert not (tables / "data.notes.json").exists()


def test_leaks_that_could_not_be_looked_for_have_no_number(tables):
    shown = present_table("leaks", read_tidy(tables / "leaks.csv"))
    unknown = shown.filter(verdict="unknown")
    assert unknown.height and set(unknown["found"]) == {"–"}
    row = shown.filter(pl.col("task") == "crema", pl.col("between") == "train / test", pl.col("shared") == "speakers")
    assert row["found"].to_list()[0] == "1 of 2"
