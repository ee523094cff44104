"""`emoadapt plan` counts what Snakemake would run."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from project import create_project

pytestmark = pytest.mark.slow


def test_the_plan_counts_the_runs_of_a_dry_run(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    dry = project.snakemake("--dry-run", "--printshellcmds")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    wanted: Counter[tuple[str, ...]] = Counter()
    jobs: Counter[str] = Counter()
    for task, backbone, start, subset, runs in re.findall(
        r'emoadapt finetune (\S+) (\S+) (\S+) (\S+) .*?--runs "([^"]*)"', dry.stdout + dry.stderr
    ):
        wanted[task, backbone, start, subset] += len(runs.split())
        jobs["stage2"] += 1
    planned = subprocess.run(
        [sys.executable, "-m", "emoadapt", "plan", "--csv", "--configfile", "small.yaml"],
        cwd=project.root, env=project._environment() | {"PYTHONPATH": "src"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = list(csv.DictReader(planned.stdout.splitlines()))
    stage2 = {
        (r["name"], r["backbone"], r["start"], r["subset"]): int(r["runs"]) for r in rows if r["stage"] == "stage2"
    }
    assert stage2 == dict(wanted)
    assert sum(stage2.values()) == 36, "three models, two sizes, three folds, two seeds"
    assert sum(int(r["jobs"]) for r in rows if r["stage"] == "stage2") == jobs["stage2"]
    assert (
        len([r for r in rows if r["stage"] == "stage1"])
        == len(re.findall(r"emoadapt adapt ", dry.stdout + dry.stderr))
        == 1
    )
