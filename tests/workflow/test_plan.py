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

from emoadapt.study.nodes import Model

pytestmark = pytest.mark.slow


def test_a_training_on_two_gpus_asks_for_one_node_and_twice_the_memory(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    project.edit("small.yaml", "device: cpu", "device: auto\ngpus_per_job: 2")
    dry = project.snakemake("--dry-run", "--resources", "gpu=2")
    text = dry.stdout + dry.stderr
    assert dry.returncode == 0, text
    asked = re.findall(r"^rule (?:adapt|train):$.*?^    resources: (.*?)$", text, re.MULTILINE | re.DOTALL)
    assert len(asked) == 7
    memory = [re.search(r"nodes=1, mem_mb=(\d+)", resources)[1] for resources in asked]  # type: ignore[index]
    assert set(memory) == {"2000", "32000"}, "the baseline on descriptors takes no GPU, and reads little"


def test_the_plan_counts_the_runs_of_a_dry_run(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    dry = project.snakemake("--dry-run", "--printshellcmds")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    wanted: Counter[tuple[str, ...]] = Counter()
    jobs: Counter[str] = Counter()
    for task, model, subset, runs in re.findall(
        r'emoadapt train (\S+) (\S+) (\S+) .*?--runs "([^"]*)"', dry.stdout + dry.stderr
    ):
        wanted[task, model, subset] += len(runs.split())
        jobs["stage2"] += 1
    planned = subprocess.run(
        [sys.executable, "-m", "emoadapt", "plan", "--csv", "--configfile", "small.yaml"],
        cwd=project.root, env=project._environment() | {"PYTHONPATH": "src"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = list(csv.DictReader(planned.stdout.splitlines()))
    stage2 = {
        (r["name"], str(Model(r["backbone"], r["start"], r["finetuning"])), r["subset"]): int(r["runs"])
        for r in rows
        if r["stage"] == "stage2"
    }
    assert stage2 == dict(wanted)
    assert sum(stage2.values()) == 36, "three models, two sizes, three folds, two seeds"
    assert sum(int(r["jobs"]) for r in rows if r["stage"] == "stage2") == jobs["stage2"]
    assert (
        len([r for r in rows if r["stage"] == "stage1"])
        == len(re.findall(r"emoadapt adapt ", dry.stdout + dry.stderr))
        == 1
    )
