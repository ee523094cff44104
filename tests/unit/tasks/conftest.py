"""The real corpora, where `EMOADAPT_DATA` is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real corpora."""
    if "EMOADAPT_DATA" not in os.environ:
        pytest.skip("EMOADAPT_DATA is not set")
    return Path(os.environ["EMOADAPT_DATA"])
