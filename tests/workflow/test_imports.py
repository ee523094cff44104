"""Heavy libraries that each kind of job imports: each costs every such job a tenth of a second to some seconds."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from project import Project
from startup import read_trace

from emoadapt.flow import code
from emoadapt.metrics.base import name_modules
from emoadapt.plugins import KINDS, find_source

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


# Which modules a job has imported when it ends, against those of its digest. That the digest covers what is imported by a statement
# is tested in `tests/unit/flow/test_coverage.py`; this finds what is imported by a name.

ENCODER_MODULES = ["backbones.base", "backbones.speech_transformer", "poolings.mean"]
BEGINS = {
    "split": [],
    "leaks": [],
    "extract audio": ["features.audio"],
    "extract egemaps": ["features.egemaps"],
    "collect-quarantine": ["features.audio", "features.egemaps"],
    "parts": [],
    "normalisers": ["objectives.egemaps"],
    "training-shard": [],
    "keep frontend": ["extraction.outputs", "flow.upstream", *ENCODER_MODULES],
    "adapt": ["methods.adapt", "objectives.egemaps", *ENCODER_MODULES],
    "train default": ["methods.finetune", *ENCODER_MODULES],
    "train mlp": ["methods.finetune", "backbones.base", "backbones.vector"],
    "evaluate": name_modules("classes"),
    "report": ["extraction.recipes", "flow.provenance", *name_modules("classes")],
}
"""Kind of job -> plug-ins and other modules that the graph names, besides the command. A manifest is compared by content."""


@cache
def close(*modules: str) -> set[str]:
    """Modules and all that they import, whatever is exempt, with the packages that they are in."""
    seen: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        seen.add(module)
        if source := find_source(module):
            waiting |= code._list_imports(ast.walk(ast.parse(source.read_text())), module) - seen
        waiting = {name for name in waiting if name.startswith("emoadapt.")}
    return seen | {package for module in seen for package in code._list_packages(module)}


@pytest.mark.parametrize("kind", BEGINS)
def test_modules_of_a_finished_job_are_in_its_digest_or_exempt(trace: dict, kind: str) -> None:
    command = kind.split()[0].replace("-", "_")
    covered = code.read_covered(*(f"emoadapt.{name}" for name in (f"cli.{command}", *BEGINS[kind])))
    assert len(trace[kind]["own"]) > 20
    # A study is read with the sections of all plug-ins, and by what is exempt.
    aside = close(*code.EXEMPT, "emoadapt.__main__", "emoadapt.cli", "emoadapt.config")
    parts = {name: name.split(".")[1:] for name in trace[kind]["own"]}
    plugins = {name for name, (*kinds, last) in parts.items() if kinds and kinds[0] in KINDS and last != "base"}
    sections = {
        name for name in plugins if parts[name][0] in ("corpora", "features", "methods", "backbones", "augmentations")
    }
    aside = aside | close(*sorted(sections)) | {f"emoadapt.{package}" for package in KINDS}
    assert {*trace[kind]["own"]} - {*covered} - aside == set()
    assert plugins - sections <= {*covered}
