"""Damaged media through the stages; 100 here, 500 in `benchmarks/fuzz.py` as it stands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from project import ROOT

pytestmark = pytest.mark.slow


def test_no_mutated_clip_crashes_or_hangs_a_stage() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/fuzz.py"), "--clips", "100", "--seed", "2", "--limit", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    for feature in ("audio", "faces"):
        reasons = figures[feature]["reasons"]
        assert figures[feature]["rows"] == 100
        assert not {"failed crashed", "failed stalled"} & set(reasons)
        assert len(reasons) >= 3, "the mutations reach too few of the decoder's paths"
