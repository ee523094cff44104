"""The small study, run once for all tests, and put back after each that edits it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from project import Project, create_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small study, run once for all worker processes, each of which has a copy; tests that edit it use `project`."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / "small_study"
    with FileLock(shared / "small_study.lock"):
        if not made.exists():
            running = create_project(shared / "small_study.part")
            running.run()
            running.root.rename(made)
    return Project(shutil.copytree(made, tmp_path_factory.mktemp("finished") / "project"))


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
