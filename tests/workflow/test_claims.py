"""What is made again is decided by what the outputs say of themselves, read off dry runs of a finished study."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import Project
from test_jobs import AFTER_STAGE1, REPORT, STAGE1, TRAININGS, VECTOR, all_shards

from emoadapt.storage.claims import Claim, state_claim
from emoadapt.storage.identities import read_claim
from emoadapt.storage.tables import read_table, write_table

pytestmark = pytest.mark.slow

RETRAINED = (TRAININGS - VECTOR) | REPORT
ADAPT = {"adapt backbone=tiny adaptation=adapted"}


def explain(project: Project) -> str:
    """What a dry run says."""
    done = project.snakemake("--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def claim_otherwise(path: Path, claim: Claim | None) -> None:
    """Write the same rows with another claim, and the same times."""
    found, table = path.stat(), read_table(path)
    state_claim(claim)
    write_table(path, table, table.schema)
    state_claim(None)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_settings_count_when_records_are_lost(project: Project) -> None:
    """Symptom: without Snakemake's records, `epochs: 2 -> 3` left nothing to do, and another weight only the report."""
    shutil.rmtree(project.root / ".snakemake")
    assert project.jobs() == set()
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert project.jobs() == RETRAINED
    assert "finetunings.default.epochs: 2 -> 3" in explain(project)
    project.edit("small.yaml", "    epochs: 3\n", "    epochs: 2\n")
    project.edit("small.yaml", "      egemaps: 1.0", "      egemaps: 0.01")
    assert project.jobs() == ADAPT | AFTER_STAGE1
    assert "adaptations.adapted.objectives.egemaps: 1.0 -> 0.01" in explain(project)


def test_change_is_noticed_when_nobody_knows_what_was_before(project: Project) -> None:
    """The texts in the cache only serve to say what changed."""
    shutil.rmtree(project.root / "results/.cache/made")
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert project.jobs() == RETRAINED
    assert "made with other settings or code" in explain(project)


def test_copy_without_hidden_files_and_times_is_the_same_study(project: Project, tmp_path: Path) -> None:
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    copied = Project(shutil.copytree(project.root, tmp_path / "copy", ignore=hidden, copy_function=shutil.copyfile))
    for path in sorted((copied.root / "results").rglob("*"), reverse=True):
        os.utime(path)
    assert copied.jobs() == set()
    copied.edit("small.yaml", "epochs: 4", "epochs: 5")
    assert copied.jobs() == ADAPT | AFTER_STAGE1


def test_touch_makes_nothing_up_to_date(project: Project) -> None:
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert project.snakemake("--touch", "--forceall").returncode == 0
    assert project.jobs() == RETRAINED


def test_version_of_a_library(project: Project) -> None:
    """Symptom: trainings did not depend on the versions of their libraries."""
    metadata = project.root / "transformers-99.0.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 99.0\n")
    try:
        jobs, said = project.jobs(), explain(project)
    finally:
        shutil.rmtree(metadata.parent)
    assert jobs >= ADAPT | AFTER_STAGE1 and not jobs & (all_shards("audio") | all_shards("egemaps") | STAGE1 - ADAPT)
    assert "-> 99.0" in said


def test_shards_that_were_swapped(copy: Project) -> None:
    """Symptom: with the same times, another input was not noticed."""
    one, other = (copy.root / f"results/features/egemaps/unlabelled/00{number}.parquet" for number in range(2))
    kept = one.read_bytes(), one.stat().st_mtime_ns
    one.write_bytes(other.read_bytes())
    os.utime(one, ns=(kept[1], kept[1]))
    again = {"egemaps corpus=unlabelled shard=000", "training_shard objectives=egemaps corpus=unlabelled shard=000"}
    assert copy.jobs() == again | STAGE1 | AFTER_STAGE1
    assert "made from other inputs" in explain(copy)


def test_output_of_other_settings_is_made_again(copy: Project) -> None:
    folder = copy.root / "results/runs/emotions/tiny.original/12/b000"
    claim = read_claim(folder / "predictions.parquet")
    assert claim is not None
    claim_otherwise(folder / "predictions.parquet", Claim("0" * 32, claim.inputs))
    assert copy.jobs() == {"train task=emotions model=tiny.original subset=12 batch=b000"} | REPORT
    assert "made with other settings or code" in explain(copy)


def test_output_without_a_claim_is_made_again(copy: Project) -> None:
    claim_otherwise(copy.root / "results/splits/emotions/0.parquet", None)
    split = {"split task=emotions partition=0", "leaks task=emotions"}
    assert copy.jobs() == split | TRAININGS | REPORT
    assert "output that does not say what it was made from" in explain(copy)


def test_damaged_output_is_made_again(copy: Project) -> None:
    path = copy.root / "results/metrics/emotions.confusion.parquet"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert copy.jobs() == REPORT


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("tables/results.csv", {"report"}),
        ("figures/results.svg", {"report"}),
        ("models/tiny.adapted/config.json", ADAPT | AFTER_STAGE1),
    ],
)
def test_deleted_file_of_a_folder(copy: Project, name: str, jobs: set[str]) -> None:
    """Symptom: a folder counted as complete as long as it was there."""
    path = copy.root / "results" / name
    path.unlink()
    os.utime(path.parent, (0, 0))
    assert copy.jobs() == jobs
    assert f"{name} is missing" in explain(copy)


def overwrite(path: Path) -> None:
    """Change one letter of a file, and neither its size nor its times."""
    found, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize("name", ["tables/results.csv", "figures/results.svg", "report/index.html"])
def test_what_people_read_is_compared_to_the_last_byte(copy: Project, name: str) -> None:
    """Symptom: nobody noticed half a page, or another number in a table, because no job reads them."""
    overwrite(copy.root / "results" / name)
    assert copy.jobs() == {"report"}
    assert f"{name} is not what was written" in explain(copy)


def test_a_file_that_no_library_reads_may_be_added_to_a_model(copy: Project) -> None:
    """Symptom: an export to ONNX beside a model trained it again, and deleted the export."""
    for folder in ("models/tiny.adapted", "runs/emotions/tiny.adapted/12/b000/models"):
        (copy.root / "results" / folder / "model.onnx").touch()
    assert copy.jobs() == set()
    (copy.root / "results/models/tiny.adapted/pytorch_model.bin").touch()
    assert copy.jobs() == ADAPT | AFTER_STAGE1


def call(project: Project, study: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call a command by hand, for a study."""
    command = [sys.executable, "-m", "emoadapt", *arguments]
    environment = project._environment() | {"PYTHONPATH": str(project.root / "src"), "EMOADAPT_STUDY": study}
    return subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)


def report(project: Project, study: str) -> subprocess.CompletedProcess[str]:
    """Call the command of the rule by hand, for a study."""
    return call(project, study, "report", "--tables", "t", "--figures", "f", "--page", "page.html")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("targets/adapted/parts.parquet", "parts adapted --output"),
        ("training/egemaps/unlabelled/000.parquet", "training-shard egemaps unlabelled 000 --output"),
        ("metrics/emotions.parquet", "evaluate emotions --folder"),
    ],
)
def test_code_edited_during_a_run_is_not_claimed_to_be_that_of_its_begin(
    copy: Project, name: str, command: str
) -> None:
    """Symptom: with the code put back later, outputs of the edited code counted as up to date."""
    claim = read_claim(copy.root / "results" / name)
    assert claim is not None
    done = call(copy, "small.yaml", *command.split(), "made", "--made", claim.made)
    assert done.returncode == 0, done.stderr
    (copy.root / "src/emoadapt/storage/files.py").open("a").write("\nEDITED = True\n")
    done = call(copy, "small.yaml", *command.split(), "again", "--made", claim.made)
    assert done.returncode == 1 and not (copy.root / "again").exists()
    assert "that the run began with: code changed" in done.stderr and "Run the same command again" in done.stderr


def test_report_refuses_what_does_not_belong_to_its_configuration(copy: Project) -> None:
    """Symptom: it stated a weight of 0.01 over a model that was trained with 1.0."""
    copy.edit("small.yaml", "      egemaps: 1.0", "      egemaps: 0.01")
    done = report(copy, "small.yaml")
    assert done.returncode == 1 and not (copy.root / "page.html").exists()
    assert (
        "tiny.adapted does not belong to this study: adaptations.adapted.objectives.egemaps: 1.0 -> 0.01" in done.stderr
    )
    assert "Traceback" not in done.stderr and "Bring it up to date with `snakemake`" in done.stderr
    copy.edit("small.yaml", "      egemaps: 0.01", "      egemaps: 1.0")
    done = report(copy, "small.yaml")
    assert done.returncode == 0 and (copy.root / "page.html").is_file(), done.stderr


def test_another_record_keeper_is_refused(project: Project) -> None:
    done = project.snakemake("--dry-run", "--persistence-backend", "db")
    assert done.returncode != 0 and "--persistence-backend" in done.stdout + done.stderr


def test_triggers_that_hide_changes_are_refused(project: Project) -> None:
    """Symptom: with a profile that names `mtime` alone, other settings left nothing to do."""
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    done = project.snakemake("--dry-run", "--rerun-triggers", "mtime")
    assert done.returncode != 0 and "--rerun-triggers would hide what changed" in done.stdout + done.stderr
    assert project.jobs("--rerun-triggers", "params") == RETRAINED


def test_snakemake_packs_no_report_of_another_configuration(project: Project, tmp_path: Path) -> None:
    """Symptom: it packed the report of two epochs for a study of three."""
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    done = project.snakemake("--report", str(tmp_path / "report.zip"))
    assert done.returncode != 0 and not (tmp_path / "report.zip").exists()
    said = done.stdout + done.stderr
    assert "does not belong to this study" in said and "Bring it up to date with `snakemake`" in said


def test_a_missing_table_is_named_by_the_report(copy: Project) -> None:
    """Symptom: a traceback."""
    copy.forget("metrics/emotions.parquet")
    done = report(copy, "small.yaml")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "emotions.parquet does not belong to this study: it is missing" in done.stderr


def test_subsets_of_other_splits_are_not_written(project: Project) -> None:
    """Symptom: the subsets of the splits that were there, under a configuration with other ones."""
    command = ["subset", "emotions", "12", "--configfile", "small.yaml", "--output", "subsets.csv"]
    done = call(project, "small.yaml", *command)
    assert done.returncode == 0, done.stderr
    (project.root / "subsets.csv").unlink()
    project.edit("small.yaml", "      k: 3\n", "      k: 3\n      seed: 7\n")
    done = call(project, "small.yaml", *command)
    assert done.returncode == 1 and not (project.root / "subsets.csv").exists()
    assert "splits/emotions/0.parquet does not belong to this study: tasks.emotions.split.seed: 0 -> 7" in done.stderr
