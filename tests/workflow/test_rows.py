"""A real run after one new clip: one row is computed, and every number can be traced."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest
from project import Project
from sklearn.metrics import f1_score

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
    wanted = [f"results/training/egemaps/unlabelled/00{i}.parquet" for i in range(4)]
    done = project.snakemake(*wanted)
    assert done.returncode == 0, done.stderr
    size = before[f"{shard}.parquet"].height
    assert counts(project, "extract_audio") == [(1, size)]
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
        folder = finished.root / f"results/runs/{row['task']}/{row['backbone']}.{row['start']}/{row['subset']}"
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


def emoadapt(project: Project, *arguments: str) -> str:
    """Call the command line in the project; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "emoadapt", *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dropped_shards_come_back_and_repeat_no_training(copy: Project) -> None:
    """Although the Stage-1 model lies between training shards and CNN output, both of which were dropped."""
    project = copy
    drop = ("disk", "--drop", "features/audio", "--drop", "features/cnn.tiny.adapted", "--drop", "training/egemaps")
    assert "dropped 7 shards of features/audio" in emoadapt(project, *drop)
    assert project.jobs() == set()
    # A job that wants what is gone says so, and nothing else is computed because of it.
    project.edit("small.yaml", "- 12\n", "- 12\n    - 14\n")
    wanted = project.jobs()
    trained = {job for job in wanted if job.split()[0] in ("adapt", "finetune")}
    assert {re.search(r"subset=(\w+)", job)[1] for job in trained} == {"14"}  # type: ignore[index]
    failed = project.snakemake("results/runs/emotions/tiny.original/14/b000/predictions.parquet")
    assert failed.returncode != 0
    assert "was dropped to make room; call `emoadapt restore`" in failed.stdout + failed.stderr
    restore = ("restore", "--configfile", "small.yaml", "--cores", "2")
    said = emoadapt(project, *restore, "--stage", "features/cnn.tiny.adapted")
    assert said.endswith("10 shards are back as they were\n"), "three of the CNN, and the audio of both corpora"
    assert emoadapt(project, *restore).endswith("4 shards are back as they were\n")
    assert project.jobs() == wanted - {"subset task=emotions subset=14"}
    before = pl.read_csv(project.root / "results/tables/results.csv", infer_schema_length=None)
    project.run()
    after = pl.read_csv(project.root / "results/tables/results.csv", infer_schema_length=None)
    assert after.filter(pl.col("subset") != "14").equals(before)
    assert after.height == before.height * 3 / 2
    assert project.jobs() == set()


def test_a_new_clip_needs_dropped_rows_of_its_own_shard_alone(copy: Project) -> None:
    project = copy
    emoadapt(project, "disk", "--drop", "features/audio")
    for log in (project.root / "logs").rglob("*.log"):
        log.unlink()
    project.add_clip("s1_new.wav")
    shard = project.shard("unlabelled", "s1_new")
    done = project.snakemake(*(f"results/training/egemaps/unlabelled/00{i}.parquet" for i in range(4)))
    assert done.returncode == 0, done.stderr
    size = pl.read_parquet(project.root / f"results/features/audio/unlabelled/{shard}.parquet").height
    assert counts(project, "extract_audio") == [(size, 0)]
    assert counts(project, "egemaps") == [(1, size - 1)]
