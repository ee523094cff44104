"""Made-up corpora and, where `EMOADAPT_DATA` is set, the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Write empty files at relative paths and return their root."""

    def make(paths: Iterable[str], folder: str = "corpus") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
        return root

    return make


@pytest.fixture
def real_data() -> Path:
    """Folder of the real corpora."""
    if "EMOADAPT_DATA" not in os.environ:
        pytest.skip("EMOADAPT_DATA is not set")
    return Path(os.environ["EMOADAPT_DATA"])
