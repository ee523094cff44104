"""The default study in a fresh copy, by the one command of the README."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from project import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    for name in ("src", "rules", "profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, root / name)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--resources", "gpu=1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-8000:]
    assert "The report: results/report/index.html" in output
    again = subprocess.run([*command, "--dry-run"], cwd=root, capture_output=True, text=True, check=False)
    assert "Nothing to be done" in again.stdout + again.stderr
    return root / "results"


def test_all_settings_are_there(demo: Path) -> None:
    results = pl.read_csv(demo / "tables/results.csv", infer_schema_length=None).filter(metric="macro_f1")
    found = set(results.select("backbone", "start", "subset").iter_rows())
    models = [(b, s) for b in ("wav2vec2_tiny", "hubert_tiny") for s in ("original", "adapted")]
    assert found == {(*m, n) for m in [*models, ("handcrafted", "egemaps")] for n in ("32", "full")}
    assert set(results["n_runs"]) == {3}


def test_there_is_something_true_to_find(demo: Path) -> None:
    """Chance is .25: the handcrafted baseline finds the emotion, and Stage 1 learns eGeMAPS on a voice it never heard."""
    results = pl.read_csv(demo / "tables/results.csv", infer_schema_length=None).filter(
        metric="macro_f1", subset="full"
    )
    assert results.filter(start="egemaps")["mean"].item() > 0.4
    curves = pl.read_parquet(demo / "curves/wav2vec2_tiny.adapted.parquet").filter(
        part="held_out", metric="loss_egemaps"
    )
    losses = curves.sort("epoch")["value"]
    assert losses.min() < 0.8 * losses[0]
    sentiment = pl.read_parquet(demo / "features/sentiment/demo_clips/*.parquet").filter(status="ok")["sentiment_label"]
    assert set(sentiment) == {"negative", "neutral", "positive"}
    faces = pl.read_parquet(demo / "features/faces/demo_clips/*.parquet", columns=["status"])
    assert (faces["status"] == "ok").mean() > 0.95


def test_the_report_says_untrained_and_synthetic_first(demo: Path) -> None:
    page = (demo / "report/index.html").read_text()
    body = page[page.index("<body") :]
    assert 0 < body.lower().index("untrained") < body.index("<table")
    assert "wav2vec2_tiny" in body and "hubert_tiny" in body
