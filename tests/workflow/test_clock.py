"""A clock that was ahead and has been put right."""

from __future__ import annotations

import os
import time

import pytest
from project import Project

pytestmark = pytest.mark.slow


def test_results_from_the_future_are_used(copy: Project, finished: Project) -> None:
    """Symptom: Snakemake failed each job that read them, and deleted what it had made, until their time was reached."""
    future = time.time_ns() + 86_400 * 10**9
    for path in (copy.root / "results/runs").rglob("*"):
        os.utime(path, ns=(future, future))
    copy.forget("metrics", "tables", "report", "figures")
    copy.run()
    assert copy.tables() == finished.tables()
