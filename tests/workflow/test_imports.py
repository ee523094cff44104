"""Heavy libraries that each kind of job imports: each costs every such job a tenth of a second to some seconds."""

from __future__ import annotations

import pytest
from project import Project
from startup import read_trace

pytestmark = pytest.mark.slow

TABLES = {"pyarrow"}
FRAMES = TABLES | {"polars"}
TORCH = FRAMES | {"torch"}
ENCODER = {"scipy", "torch", "transformers"}

JOBS = {
    "manifest": TABLES,
    "split": FRAMES,
    "leaks": FRAMES,
    "extract audio": TABLES,
    "extract egemaps": TABLES | {"opensmile", "pandas"},
    "collect-quarantine": TABLES,
    "parts": FRAMES | {"scipy"},
    "normalisers": TORCH,
    "training-shard": TABLES,
    "keep frontend": TABLES | ENCODER,
    "adapt": FRAMES | ENCODER,
    "train default": FRAMES | ENCODER,
    "train mlp": TORCH,
    "evaluate": FRAMES | {"scipy"},
    "report": FRAMES | {"matplotlib"},
}
"""Kind of job -> libraries of `startup.HEAVY` that its process imports. Another one here is a decision, not an accident."""


@pytest.fixture(scope="module")
def trace(finished: Project) -> dict:
    return read_trace(finished.root / "trace.jsonl")


def test_every_kind_of_job_is_looked_at(trace: dict) -> None:
    assert set(trace) == set(JOBS)


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_imports_what_it_uses_and_no_more(trace: dict, kind: str) -> None:
    assert set(trace[kind]["heavy"]) == JOBS[kind]
