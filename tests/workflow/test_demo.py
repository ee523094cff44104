"""The default study in a fresh copy, by the one command of the README."""

from __future__ import annotations

import polars as pl
import pytest
from project import Project

pytestmark = pytest.mark.slow


def test_all_settings_are_there(demo: Project) -> None:
    results = pl.read_csv(demo.root / "results/tables/results.csv", infer_schema_length=None).filter(metric="macro_f1")
    found = set(results.select("backbone", "start", "subset").iter_rows())
    models = [("wav2vec2_tiny", "original"), ("wav2vec2_tiny", "adapted"), ("egemaps", "original")]
    assert found == {(*model, subset) for model in models for subset in ("32", "full")}
    assert set(results["n_runs"]) == {3}


def test_there_is_something_true_to_find(demo: Project) -> None:
    """Chance is .25: the handcrafted baseline finds the emotion, and Stage 1 learns eGeMAPS on a voice it never heard."""
    results = pl.read_csv(demo.root / "results/tables/results.csv", infer_schema_length=None).filter(
        metric="macro_f1", subset="full"
    )
    assert results.filter(backbone="egemaps")["mean"].item() > 0.4
    curves = pl.read_parquet(demo.root / "results/curves/wav2vec2_tiny.adapted.parquet").filter(
        part="held_out", metric="loss_egemaps"
    )
    losses = curves.sort("epoch")["value"]
    assert losses.min() < 0.8 * losses[0]
    sentiment = pl.read_parquet(demo.root / "results/features/sentiment/demo_clips/*.parquet").filter(status="ok")[
        "sentiment_label"
    ]
    assert set(sentiment) == {"negative", "neutral", "positive"}
    faces = pl.read_parquet(demo.root / "results/features/faces/demo_clips/*.parquet", columns=["status"])
    assert (faces["status"] == "ok").mean() > 0.95


def test_the_report_says_untrained_and_synthetic_first(demo: Project) -> None:
    page = (demo.root / "results/report/index.html").read_text()
    body = page[page.index("<body") :]
    assert 0 < body.lower().index("untrained") < body.index("<table")
    assert "wav2vec2_tiny" in body


def test_the_best_classifier_lies_in_one_place(demo: Project) -> None:
    """It is a link to the kept run of the model with the highest mean on development parts, of all training clips."""
    link = demo.root / "results/classifiers/emotions"
    assert link.is_symlink() and (link / "contents.json").is_file()
    assert link.resolve().name.startswith("emotions.wav2vec2_tiny.") and ".full." in link.resolve().name
    page = (demo.root / "results/report/index.html").read_text()
    assert "emoadapt predict results/classifiers/emotions recording.wav" in page
    assert f"/{link.resolve().name}</code>" in page
