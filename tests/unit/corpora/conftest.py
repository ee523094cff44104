"""Made-up corpora and, where `EMOADAPT_DATA` is set, the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest


def fill(root: Path, paths: Iterable[str]) -> Path:
    """Write empty files at relative paths below a folder, and return it."""
    files = [root / path for path in paths]
    for parent in {root, *(file.parent for file in files)}:
        parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.touch()
    return root


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Write empty files at relative paths and return their root."""

    def make(paths: Iterable[str], folder: str = "corpus") -> Path:
        return fill(tmp_path / folder, paths)

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real corpora."""
    if "EMOADAPT_DATA" not in os.environ:
        pytest.skip("EMOADAPT_DATA is not set")
    return Path(os.environ["EMOADAPT_DATA"])


@pytest.fixture(scope="session")
def crema_d_clips(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 7,442 clips of CREMA-D as empty files, made once."""
    lines = (real_data / "crema_d_annotations/summaryTable.csv").read_text().splitlines()[1:]
    names = [line.split(",")[1].strip('"') for line in lines]
    return fill(tmp_path_factory.mktemp("crema_d"), (f"AudioWAV/{name}.wav" for name in names))
