"""A study's own plug-ins, forgotten after each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt import plugins


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """Empty folder `metrics` of own plug-ins, found where a study names `my_plugins` here."""
    before = set(sys.modules)
    folder = tmp_path / "my_plugins/metrics"
    folder.mkdir(parents=True)
    yield folder
    plugins.use_folder(None)
    for name in set(sys.modules) - before:
        if name.startswith("emoadapt.metrics."):
            del sys.modules[name]
