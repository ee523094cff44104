"""Rehearsal of `benchmarks/gpu.py` on a CPU: all parts work, so that a GPU's few minutes are not spent on mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from project import ROOT

COMMAND = [sys.executable, str(ROOT / "benchmarks/gpu.py")]


@pytest.mark.slow
def test_every_part_of_the_gpu_benchmark_runs_on_a_cpu() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EMOADAPT_")}
    done = subprocess.run([*COMMAND, "--rehearse"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Rehearsal on a CPU with tiny models: the figures mean nothing.")
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["rehearsal"] and [part["ended"] for part in figures["parts"].values()] == ["done"] * 4
    rows = {row["what"].strip(): row for part in figures["parts"].values() for row in part["rows"]}
    assert not {"failed", "not measured"} & {row["measured"] for row in rows.values()}
    trained = ("cached", "Trainer", "not cached", "cached, batch 16", "cached, compile")
    assert all(rows[f"training, {name}"]["figures"]["rate"] > 0 for name in trained)
    resumed = figures["parts"]["resume"]["rows"]
    assert [row["figures"]["same"] for row in resumed[1::2]] == [True, True]
    assert resumed[0]["figures"]["repeated"] == 0, "SIGTERM lets a job write its state"
    # Its random weights end where they are meant to: the figure is that of speech, and not of the longest text.
    assert 15 <= rows["whisper, random weights, tiniest"]["figures"]["tokens"] <= 25
    assert rows["faces, haar"]["figures"]["faces"] == rows["face embedding, tiny"]["figures"]["faces"] > 0


def test_without_a_gpu_nothing_is_measured() -> None:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "This machine has no GPU, so nothing is measured; add --rehearse to try all parts on a CPU.\n"
