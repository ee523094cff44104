"""`kill -9` of Snakemake and its jobs, then the same command: the tables of an undisturbed run."""

from __future__ import annotations

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
