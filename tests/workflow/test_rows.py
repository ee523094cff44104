"""A real run after one new clip: one row is computed, and every number can be traced."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import polars as pl
import pytest
from project import Project
from sklearn.metrics import f1_score

from emoadapt.study.nodes import Model

pytestmark = pytest.mark.slow


def counts(project: Project, rule: str) -> list[tuple[int, int]]:
    """(computed, reused) rows in the logs of a rule's shards of the unlabelled corpus, those that ran just now."""
    found = []
    for path in sorted((project.root / f"logs/{rule}/unlabelled").glob("*.log")):
        if match := re.search(r"(\d+) rows to compute, (\d+) reused", path.read_text()):
            found.append((int(match[1]), int(match[2])))
    return found


def test_one_new_clip_is_one_new_row(copy: Project) -> None:
    project = copy
    assert project.jobs() == set()
    before = {
        path.name: pl.read_parquet(path)
        for path in (project.root / "results/features/egemaps/unlabelled").glob("*.parquet")
    }
    for log in (project.root / "logs").rglob("*.log"):
        log.unlink()
    project.add_clip("s1_new.wav")
    shard = project.shard("unlabelled", "s1_new")
    wanted = [f"results/training/egemaps/unlabelled/00{i}.parquet" for i in range(2)]
    done = project.snakemake(*wanted)
    assert done.returncode == 0, done.stderr
    size = before[f"{shard}.parquet"].height
    assert counts(project, "audio") == [(1, size)]
    assert counts(project, "egemaps") == [(1, size)]
    after = pl.read_parquet(project.root / f"results/features/egemaps/unlabelled/{shard}.parquet")
    assert after.filter(pl.col("utterance_id") != "unlabelled/s1_new").equals(before[f"{shard}.parquet"])


def test_results_table_is_what_the_predictions_say(finished: Project) -> None:
    """Every macro-F1 of the table, from predictions.parquet and scikit-learn alone."""
    results = pl.read_csv(finished.root / "results/tables/results.csv", infer_schema_length=None).filter(
        metric="macro_f1"
    )
    assert results.height == 6
    for row in results.to_dicts():
        folder = (
            finished.root
            / f"results/runs/{row['task']}/{Model(row['backbone'], row['start'], row['finetuning'])}/{row['subset']}"
        )
        runs = pl.read_parquet(folder / "*/predictions.parquet").partition_by("resampling", "seed")
        scores = [f1_score(run["label"], run["predicted"], average="macro") for run in runs]
        assert row["n"] == 48 and row["n_runs"] == len(scores) == 2
        assert row["mean"] == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_snakemake_packs_the_report_with_its_provenance(finished: Project, tmp_path: Path) -> None:
    done = finished.snakemake("--report", str(tmp_path / "report.zip"))
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        pages = [archive.read(name) for name in archive.namelist() if name.endswith("index.html")]
    assert (finished.root / "results/report/index.html").read_bytes() in pages
