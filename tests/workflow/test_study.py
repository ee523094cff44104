"""One study, whoever reads it, and one study in a results folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import yaml
from project import Project, create_project, run_snakemake, small_study
from sklearn.metrics import f1_score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which nothing was run; only dry runs are made in it."""
    project = create_project(tmp_path_factory.mktemp("study") / "checkout")
    (project.root / "over.yaml").write_text("finetunings: {default: {seeds: [7]}}\n")
    (project.root / "demo_over.yaml").write_text(
        "study: demo\nfinetunings: {default: {seeds: [7]}}\nreport: {names: {1000: 1K}}\n"
    )
    (project.root / "twice.yaml").write_text("study: x\nreport: {bootstrap: 5}\nreport: {bootstrap: 6}\n")
    (project.root / "octal.yaml").write_text("study: x\ncorpora: {c: {importer: folder, root: a, shards: 010}}\n")
    return project


def call(project: Project, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of the project, in a folder of choice."""
    environment = project._environment() | {"PYTHONPATH": str(project.root / "src")}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def plan(project: Project, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    snakefile = str(project.root / "Snakefile")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--snakefile", snakefile, *options]
    return run_snakemake(command, folder, project._environment())


def name_files(project: Project, names: list[str]) -> list[str]:
    return ["--configfile", *(str(project.root / name) for name in names)] if names else []


@pytest.mark.parametrize(
    "files", [["small.yaml", "over.yaml"], ["demo_over.yaml"], []], ids=["own and overlay", "demo, overridden", "demo"]
)
@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_snakemake_and_emoadapt_read_the_same_study(
    fresh: Project, tmp_path: Path, files: list[str], place: str
) -> None:
    """Symptom: an override was merged over the `config.yaml` beside the Snakefile by one, over that in the folder by the other."""
    folder = fresh.root if place == "checkout" else tmp_path
    shutil.rmtree(folder / "results", ignore_errors=True)
    if files[:1] == ["small.yaml"]:
        (folder / "media").exists() or (folder / "media").symlink_to(fresh.root / "media")
    options = name_files(fresh, files)
    done = plan(fresh, folder, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (handed,) = (folder / "results/.cache/studies").glob("*.json")
    code = "import json, sys; from emoadapt.config import read_study; print(read_study(sys.argv[1:]).model_dump_json())"
    environment = fresh._environment() | {"PYTHONPATH": str(fresh.root / "src")}

    command = [sys.executable, "-c", code, *options[1:]]
    out = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    known = json.loads(out.stdout)

    from emoadapt.config import load_study

    # Relative roots are not looked at in reading.
    assert load_study(json.loads(handed.read_text())).model_dump(mode="json") == known
    assert known["finetunings"]["default"]["seeds"] == ([7] if len(files) else [0, 1, 2])


@pytest.mark.parametrize(
    ("name", "place"), [("over", "checkout"), ("over", "elsewhere"), ("twice", "elsewhere"), ("octal", "checkout")]
)
def test_a_wrong_file_is_refused_with_the_same_sentence(fresh: Project, tmp_path: Path, name: str, place: str) -> None:
    folder = fresh.root if place == "checkout" else tmp_path
    options = name_files(fresh, [f"{name}.yaml"])
    checked = call(fresh, folder, "emoadapt", "check", *options)
    assert checked.returncode == 1 and checked.stderr.startswith("emoadapt: ")
    sentence = checked.stderr.removeprefix("emoadapt: ").strip()
    assert re.search(rf"{name}\.yaml(, lines? \d| has no key `study`)", sentence)
    planned = plan(fresh, folder, *options)
    assert planned.returncode == 1 and sentence in planned.stdout + planned.stderr


def test_a_task_that_check_refuses_is_refused_by_a_dry_run(fresh: Project) -> None:
    study = small_study()
    study["tasks"]["emotions"]["subsets"] = [5000]
    (fresh.root / "large.yaml").write_text(yaml.safe_dump(study))
    checked = call(fresh, fresh.root, "emoadapt", "check", "--configfile", "large.yaml")
    sentence = checked.stderr.splitlines()[1].strip()
    assert "subset" in sentence
    planned = fresh.snakemake("--dry-run", configfile="large.yaml")
    assert planned.returncode == 1 and sentence in planned.stdout + planned.stderr


def test_a_repeated_configfile_flag_is_refused(fresh: Project) -> None:
    """Symptom: the last file alone was used, without a word."""
    done = fresh.snakemake("--dry-run", "--configfile", "small.yaml")
    assert done.returncode == 1 and "--configfile is given twice" in done.stdout + done.stderr


def test_a_missing_gpu_is_refused_before_the_first_job(
    fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: the first training failed, hours of extraction later."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    project = create_project(tmp_path / "gpu")
    project.edit("small.yaml", "device: cpu", "device: cuda")
    done = project.snakemake()
    assert done.returncode == 1 and "device is cuda, but no GPU was found on this machine" in done.stdout + done.stderr
    assert not list((project.root / "results").glob("[a-z]*")), "a job was run, or the results were claimed"


def test_results_of_another_study_are_left_alone(copy: Project) -> None:
    study = small_study() | {"study": "second"}
    (copy.root / "second.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    before = copy.tables()
    for configfile in ("second.yaml", None):
        for options in (["--dry-run"], []):
            done = copy.snakemake(*options, configfile=configfile)
            assert done.returncode == 1
            assert "results/ belongs to study small, and this is study" in done.stdout + done.stderr
    checked = call(copy, copy.root, "emoadapt", "check", "--configfile", "second.yaml")
    assert "results/ belongs to study small" in checked.stderr
    assert copy.tables() == before


def test_other_batches_leave_no_prediction_twice(copy: Project) -> None:
    """Symptom: after `runs_per_job` was changed, scores recomputed from all predictions were not those of the tables."""
    study = small_study()
    study |= {"backbones": {"egemaps": study["backbones"]["egemaps"]}, "adaptations": {}}
    del study["finetunings"]["default"]
    study["tasks"]["emotions"]["subsets"] = ["full"]
    batches = [f"results/runs/emotions/egemaps.original.mlp/full/b00{i}/predictions.parquet" for i in range(3)]
    for runs_per_job, targets in ((2, batches), (6, [])):
        study["runs_per_job"] = runs_per_job
        (copy.root / "small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
        done = copy.snakemake(*targets)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
    assert "egemaps.original.mlp/full/b002 is not part of this study any more: moved to results/superseded" in said
    rows = pl.read_parquet(copy.root / "results/runs/*/*/*/*/predictions.parquet")
    setting = ["task", "test_corpus", "subset", "backbone", "start", "finetuning"]
    assert not rows.select(*setting, "partition", "resampling", "fold", "seed", "utterance_id").is_duplicated().any()
    table = pl.read_csv(copy.root / "results/tables/results.csv", schema_overrides={"subset": pl.String})
    (row,) = table.filter(metric="macro_f1").to_dicts()
    runs = rows.filter(pl.all_horizontal(pl.col(name) == row[name] for name in setting)).partition_by("seed")
    assert set(rows.select(setting).rows()) <= set(table.select(setting).rows()), "other models left the study"
    scores = [f1_score(run["label"], run["predicted"], average="macro") for run in runs]
    assert len(scores) == 2 and row["mean"] == pytest.approx(sum(scores) / 2, abs=1e-9)


def test_ctrl_c_says_that_the_same_command_continues(copy: Project) -> None:
    for name in ("runs/emotions/tiny.original/full", "tables", "report"):
        shutil.rmtree(copy.root / "results" / name)
    log = "logs/train/emotions/tiny.original/full/b000.log"
    (copy.root / log).unlink()
    out = copy.root / "said.txt"
    with out.open("w") as file:
        run = subprocess.Popen(
            copy._command(), cwd=copy.root, env=copy._environment(), stdout=file, stderr=file, start_new_session=True
        )
    try:
        copy.await_line(log, "epoch 1", run)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait() == 1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    said = out.read_text()
    assert said.rstrip().endswith("stopped; the same command continues")
    assert "Error in rule" not in said and "Traceback" not in said
