"""What is wrong around a run: a full disk, a folder that cannot be written, a second run. One sentence; then the same command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest
import yaml
from project import Project, small_study

pytestmark = pytest.mark.slow


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if os.geteuid() or done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip() or 'not root'}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def read_failure(project: Project, log: str) -> str:
    """What a run that must fail says, and that its job said no more than a sentence."""
    done = project.snakemake()
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "Traceback" not in text + (project.root / log).read_text()
    return text


def test_a_disk_that_cannot_be_written_and_a_full_one(copy: Project, finished: Project) -> None:
    """The first is refused before anything runs; the second is one sentence, and leaves nothing half-written."""
    # Where an output is there already, Snakemake says the first in its own words: `Write-protected output files`.
    copy.forget("metrics", "tables", "report", "figures")
    results, kept = copy.root / "results", copy.root / "kept"
    results.rename(kept)
    with mounted(results, "-t", "tmpfs", "-o", "size=64m", "tmpfs"):
        shutil.copytree(kept, results, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
        done = copy.snakemake()
        text = done.stdout + done.stderr
        assert done.returncode != 0 and "cannot be written" in text
        assert "Traceback" not in text and "Finished jobid" not in text
        assert copy.snakemake("--dry-run").returncode == 0, "looking is allowed"
        subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
        with (results / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        text = read_failure(copy, "logs/evaluate/emotions.log")
        assert "emoadapt: there is no space left on the disk" in text
        assert f"there is no space left on the disk ({results})" in text, (
            "Snakemake's own, as logs may have no room either"
        )
        assert not list((results / "metrics").glob("*"))
        (results / "filler").unlink()
        copy.run()
        assert copy.tables() == finished.tables()


def test_nothing_is_lost_while_weights_are_away(copy: Project) -> None:
    """Snakemake took them for changed, and deleted the models that were adapted from them before their jobs failed."""
    weights = copy.root / "models/mine"
    shutil.copytree(copy.root / "results/models/tiny.adapted", weights)
    study = small_study()
    study["backbones"]["tiny"] = {"architecture": "wav2vec2", "weights": "mine"}
    (copy.root / "small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    to_do = copy.jobs()
    assert "adapt backbone=tiny adaptation=adapted" in to_do

    def list_results() -> list[Path]:
        return sorted(path for path in (copy.root / "results").rglob("*") if ".cache" not in path.parts)

    before = list_results()
    weights.rename(copy.root / "away")
    done = copy.snakemake()
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "backbone tiny: weights 'mine' are missing: there is no " in text
    assert "Traceback" not in text
    assert list_results() == before
    assert "weights 'mine' are missing" in copy.snakemake("--dry-run").stderr
    (copy.root / "away").rename(weights)
    assert copy.jobs() == to_do


def test_two_runs_in_one_folder_the_second_refuses(copy: Project, finished: Project) -> None:
    """And a dry run beside a run takes no lock of it away."""
    predictions = "results/runs/emotions/tiny.original/full/b000/predictions.parquet"
    copy.forget("runs/emotions/tiny.original/full")
    log = "logs/train/emotions/tiny.original/full/b000.log"
    (copy.root / log).unlink()
    first = copy.start(predictions)
    try:
        copy.await_line(log, "epoch 1", first)
        os.kill(first.pid, signal.SIGSTOP)  # its jobs go on, but it does not end before it has been looked at
        second = copy.snakemake()
        assert second.returncode != 0
        said = second.stdout + second.stderr
        assert f"study small is running in {copy.root} since " in said and f"(process {first.pid} on " in said
        assert "--unlock" not in said
        assert copy.snakemake("--dry-run").returncode == 0
        assert list((copy.root / ".snakemake/locks").iterdir()), "the lock of a living run was taken away"
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    assert pl.read_parquet(copy.root / predictions).equals(pl.read_parquet(finished.root / predictions))


def test_a_second_study_computes_no_feature_again(copy: Project) -> None:
    study = small_study()
    study["study"] = "second"
    study["adaptations"]["adapted"]["epochs"] = 2
    study["finetunings"]["default"]["learning_rate"] = 5e-4
    (copy.root / "second.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    refused = copy.snakemake("--dry-run", configfile="second.yaml")
    advised = re.search(r"rm -r (results/.*)", refused.stdout + refused.stderr)
    assert advised
    for path in map(copy.root.joinpath, advised[1].split()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rules = {job.split()[0] for job in copy.jobs(configfile="second.yaml")}
    # The cached CNN is that of the adapted model, which the second study trains anew.
    assert rules >= {"adapt", "train", "keep", "evaluate", "report"}
    assert not rules & {
        "manifest",
        "labels",
        "audio",
        "egemaps",
        "training_shard",
        "normalisers",
        "split",
        "subset",
    }
