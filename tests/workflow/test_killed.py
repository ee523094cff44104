"""`kill -9` of Snakemake and its jobs, then the same command: the tables of an undisturbed run."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from project import Project

pytestmark = pytest.mark.slow


def test_a_killed_run_ends_as_an_undisturbed_one(finished: Project, copy: Project) -> None:
    """Killed three times: during extraction, during Stage 1 and during Stage 2."""
    project = copy
    project.forget_shard("001")
    project.kill_when("logs/audio/unlabelled/001.log", "rows to compute")
    project.kill_when("logs/adapt/tiny.adapted.log", "epoch 1")
    project.kill_when("logs/train/emotions/tiny.adapted/full/b000.log", "epoch 1")
    project.run()
    assert project.jobs() == set()
    assert project.tables() == finished.tables()
    leftovers = [
        path for path in (project.root / "results").rglob("*") if ".part" in path.name or path.suffix == ".ckpt"
    ]
    assert leftovers == []


def read_results(project: Project) -> dict[Path, bytes]:
    """Content of all files of the results."""
    return {path: path.read_bytes() for path in (project.root / "results").rglob("*") if path.is_file()}


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_job_whose_snakemake_was_killed_ends_and_changes_nothing_later(
    copy: Project, finished: Project, stopped: bool
) -> None:
    """Symptom: it lived on, and replaced the model of a later run by one of other settings."""
    model, log = "results/models/tiny.adapted", "logs/adapt/tiny.adapted.log"
    copy.forget("models/tiny.adapted")
    (copy.root / log).unlink()
    copy.edit("small.yaml", "    epochs: 4\n", "    epochs: 400\n")
    snakemake = copy.start(model)
    copy.await_line(log, "epoch 1", snakemake)
    job = copy.find_job(snakemake, "adapt")
    end = os.pidfd_open(job)
    if stopped:
        os.kill(job, signal.SIGSTOP)
    os.kill(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    if not stopped:
        select.select([end], [], [])
        assert ": ended by SIGTERM " in (copy.root / log).read_text()
        assert list((copy.root / "results/models").glob(".tiny.adapted.*.ckpt")), "the state that it continues from"
    copy.edit("small.yaml", "    epochs: 400\n", "    epochs: 4\n")
    done = copy.snakemake(model)
    assert done.returncode == 0, done.stderr
    made = read_results(copy)
    with suppress(ProcessLookupError):
        os.kill(job, signal.SIGCONT)
    select.select([end], [], [])
    assert read_results(copy) == made
    weights = Path(model, "model.safetensors")
    assert (copy.root / weights).read_bytes() == (finished.root / weights).read_bytes()


def test_a_cluster_job_does_nothing_when_another_run_has_begun(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: one that waited in the queue of a killed run replaced, or deleted, what a later run had made."""
    table = "results/quarantine.parquet"
    as_on_a_node = ["--mode", "remote", "--force", "--nolock", "--no-hooks", "--ignore-incomplete", table]
    made, environment = read_results(copy), copy._environment()
    monkeypatch.setattr(Project, "_environment", lambda _: environment | {"EMOADAPT_RUN": str(copy.root / "gone")})
    done = copy.snakemake(*as_on_a_node)
    assert done.returncode != 0
    assert "the run that this job belongs to has ended, and another one has begun in its folder" in done.stderr
    assert read_results(copy) == made
    monkeypatch.undo()
    # What fails there is left to the main process.
    copy.edit("rules/evaluate.smk", '"python -m emoadapt collect-quarantine', '"touch {output}; false; python')
    assert copy.snakemake(*as_on_a_node).returncode != 0
    assert (copy.root / table).read_bytes() == b""


def test_a_run_is_not_unlocked_while_it_is_alive(copy: Project) -> None:
    """Symptom: `--unlock` beside a run let a second one in."""
    log = "logs/audio/unlabelled/001.log"
    copy.forget_shard("001")
    (copy.root / log).unlink()
    run = copy.start()
    try:
        copy.await_line(log, "rows to compute", run)
        refused = copy.snakemake("--unlock")
        assert refused.returncode != 0
        assert f"{copy.root} stays locked: Snakemake is running in it (process {run.pid} on " in refused.stderr
        assert list((copy.root / ".snakemake/locks").iterdir())
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert copy.snakemake("--unlock").returncode == 0
