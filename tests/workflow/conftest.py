"""The small study and the demo, run once for all tests; the small one is put back after each test that edits it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from project import ROOT, Project, copy_sources, create_project

sys.path.insert(0, str(ROOT / "benchmarks"))
from startup import write_tracer

LONGEST_FIRST = (
    "test_slurm.py", "test_real.py", "test_demo.py", "test_failures.py", "test_jobs.py", "test_study.py", "test_killed.py",
    "test_classical.py", "test_pages.py", "test_bad_clips.py", "test_fuzz.py", "test_rows.py", "test_plan.py",
    "test_other_encoders.py", "test_unfinished.py", "test_adaptation.py", "test_several_processes.py", "test_onnx_export.py",
)  # fmt: skip
"""What is begun last must be short; and SLURM mostly waits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of the worker processes makes for all."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(shared / f"{name}.part", ignore_errors=True)
            make(shared / f"{name}.part")
            (shared / f"{name}.part").rename(made)
    return made


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small study, of which each worker process has a copy; tests that edit it use `project`."""
    made = make_once(tmp_path_factory, "small_study", run_traced)
    return Project(shutil.copytree(made, tmp_path_factory.mktemp("finished") / "project"))


def run_traced(root: Path) -> None:
    """Run the small study in a new project, and note what its jobs import (`trace.jsonl`)."""
    project = create_project(root)
    # Jobs find the sources of the project first.
    log = write_tracer(root / "src")
    project.run()
    log.rename(root / log.name)
    (root / "src/sitecustomize.py").unlink()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The demo, by the command of the README. Not to be edited."""
    return Project(make_once(tmp_path_factory, "demo", run_demo))


def run_demo(root: Path) -> None:
    """Run the default study in a fresh copy; then nothing is left to do."""
    project = copy_sources(root)
    said = project.run(configfile=None)
    assert "The report: results/report/index.html" in said
    assert "emoadapt predict results/classifiers/emotions recording.wav" in said
    assert project.jobs(configfile=None) == set()


@pytest.fixture
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The finished project, put back afterwards as it was: same contents, same modification times."""
    kept = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for folder in ("media", "src", "rules", "small.yaml")
        for path in (
            [finished.root / folder] if folder.endswith("yaml") else sorted((finished.root / folder).rglob("*"))
        )
        if path.is_file() and path.suffix != ".pyc"
    }
    yield finished
    shutil.rmtree(finished.root / "mine", ignore_errors=True)
    for path in [*(finished.root / "media").rglob("*"), *(finished.root / "src").rglob("*.py")]:
        if path.is_file() and path not in kept:
            path.unlink()
    for path, (content, time) in kept.items():
        if not path.exists() or path.read_bytes() != content or path.stat().st_mtime_ns != time:
            path.write_bytes(content)
            os.utime(path, ns=(time, time))


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project with its results, for tests that run something."""
    shutil.copytree(finished.root, tmp_path / "copy")
    return Project(tmp_path / "copy")
