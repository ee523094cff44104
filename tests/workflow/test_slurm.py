"""The small study through SLURM: the official executor, the project's profile, a real one-node cluster.

CI installs SLURM and sets EMOADAPT_REQUIRE_SLURM, so that this cannot be skipped there.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, find_obstacle
from project import Project

pytestmark = pytest.mark.slow

FASTER = [
    "--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1",
    "--max-jobs-per-timespan", "100/1s",
]  # fmt: skip
"""Without accounting there is no sacct; and the cluster is not to be spared. Snakemake ends when the last such time span does."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    obstacle = find_obstacle()
    if obstacle and os.environ.get("EMOADAPT_REQUIRE_SLURM"):
        pytest.fail(f"SLURM is required here: {obstacle}")
    if obstacle:
        pytest.skip(obstacle)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def command(*arguments: str) -> list[str]:
    """Snakemake with the project's profile for SLURM."""
    impatient = str(Path(__file__).with_name("impatient.py"))
    return [sys.executable, impatient, *arguments, "--workflow-profile", "profiles/slurm", *FASTER]


def of_small(*arguments: str) -> list[str]:
    """The same for the small study."""
    return command(*arguments, "--configfile", "small.yaml")


ON_TASKS = {"split", "leaks"}
OTHERS = {
    "adapt", "all", "audio", "egemaps", "evaluate", "keep", "manifest", "normalisers", "parts", "quarantine", "report", "train",
    "training_shard",
}  # fmt: skip
"""The rules of the small study: those of a task, and all others."""


def list_rules(output: str) -> set[str]:
    """The rules that had jobs."""
    return set(re.findall(r"^(?:local)?rule (\w+):$", output, re.MULTILINE))


def list_content(project: Project) -> dict[str, bytes]:
    """The tables, without what they were made from: the studies differ in `device`."""
    return {name: content for name, content in project.tables().items() if name != "contents.json"}


def test_a_node_dies_and_the_study_ends_as_on_one_machine(
    cluster: Cluster, copy: Project, finished: Project, tmp_path: Path
) -> None:
    """The node is killed with its jobs during Stage 1 and comes back: SLURM queues the job again, the run goes on."""
    copy.forget_shard("001")
    output = tmp_path / "output.txt"
    log = "logs/adapt/tiny.adapted.log"
    (copy.root / log).unlink()
    with output.open("w") as file:
        run = subprocess.Popen(
            of_small("--config", "device=auto"), cwd=copy.root, stdout=file, stderr=subprocess.STDOUT
        )
        copy.await_line(log, "padding", run)
        cluster.kill_node()
        cluster.start_node()
        code = run.wait()
    assert code == 0, output.read_text()[-6000:]
    jobs = cluster.read_jobs()
    assert max(job.restarts for job in jobs if job.gpu) == 1, "Stage 1 was over before the node was killed"
    assert list_rules(output.read_text()) - {"leaks"} == OTHERS
    assert list_content(copy) == list_content(finished)
    gpu = sorted((job.start, job.end) for job in jobs if job.gpu)
    assert len(gpu) >= 5, "Stage 1, two shards of its CNN's output and two fine-tunings ask for the GPU"
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(gpu)), "two jobs on one GPU"


def test_shards_can_be_sent_as_job_arrays(cluster: Cluster, copy: Project) -> None:
    """Which the profile leaves off: see docs/cluster.md. All shards of a corpus are ready at once."""
    shutil.rmtree(copy.root / "results/manifests")
    target = "results/manifests/unlabelled/000.parquet"
    shards = [target.replace("000", f"00{shard}") for shard in range(2)]
    done = subprocess.run(
        of_small(*shards, "--slurm-array-jobs", "manifest"), cwd=copy.root, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-6000:]
    assert len(re.findall(r"Submitted array job .*individual task IDs are 1-2", text)) == 1
    assert all((copy.root / shard).is_file() for shard in shards)


def test_a_job_that_fails_is_tried_again_and_the_same_command_continues(cluster: Cluster, copy: Project) -> None:
    """A job on the node finds a damaged page of a table, of which Snakemake reads the end only, and says so."""
    targets = ["results/leaks/emotions.parquet"]
    table = copy.root / "results/manifests/labelled/000.parquet"
    for path in (*targets, "results/splits/emotions/0.parquet"):
        (copy.root / path).unlink()
    content = table.read_bytes()
    table.write_bytes(content[:4] + bytes(200) + content[204:])
    before = len(cluster.read_jobs())
    failed = subprocess.run(of_small(*targets), cwd=copy.root, capture_output=True, text=True, check=False)
    text = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert text.count("Trying to restart job") == 2, "the profile's retries"
    assert [job.memory for job in cluster.read_jobs()[before:]][-3:] == ["2000M", "4000M", "6000M"]
    assert "labelled/000.parquet" in text and "Traceback" not in text
    table.write_bytes(content)
    again = subprocess.run(of_small(*targets), cwd=copy.root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert list_rules(text + again.stdout + again.stderr) == ON_TASKS
    assert copy.jobs(*targets) == set()


def test_a_training_outlives_ctrl_c_scancel_and_its_time_limit(cluster: Cluster, copy: Project, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing in the queue. Cancelled, then hanging until its time is over, the job goes on in the end by itself."""
    target, log = "results/models/tiny.adapted", "logs/adapt/tiny.adapted.log"
    copy.edit("small.yaml", "    epochs: 4\n", "    epochs: 100\n")
    shutil.rmtree(copy.root / target)
    (copy.root / log).unlink()
    local = Project(shutil.copytree(copy.root, tmp_path / "local"))
    limited = of_small(target, "--set-resources", "adapt:runtime=11 * attempt")

    # What is started in the background of a shell would ignore SIGINT.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    first = subprocess.Popen(
        limited, cwd=copy.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=heeding
    )
    copy.await_line(log, "padding", first)
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert first.returncode != 0
    cluster.await_empty_queue()
    assert not (copy.root / target).exists()
    assert len(list((copy.root / "results/models").glob(".tiny.adapted.*.ckpt"))) == 1, "the state that it goes on from"
    (copy.root / log).unlink()

    output = tmp_path / "output.txt"
    with output.open("w") as file:
        second = subprocess.Popen(limited, cwd=copy.root, stdout=file, stderr=subprocess.STDOUT)
        copy.await_line(log, "padding", second)
        cancelled = cluster.cancel_jobs()
        (copy.root / log).unlink()
        hanging = cluster.await_other_job(cancelled[0], second)
        copy.await_line(log, "padding", second)
        cluster.signal_job(hanging, signal.SIGSTOP)
        limits = [job.limit for job in cluster.read_jobs()[-2:]]
        cluster.exhaust_time(hanging)
        done = local.snakemake(target)  # meanwhile
        assert done.returncode == 0, done.stdout + done.stderr
        code = second.wait()
    text = output.read_text()
    assert code == 0, text[-6000:]
    assert text.count("Trying to restart job") == 2
    jobs = cluster.read_jobs()[-3:]
    assert [job.state for job in jobs] == ["CANCELLED", "TIMEOUT", "COMPLETED"]
    assert [*limits, jobs[-1].limit] == ["00:11:00", "00:22:00", "00:33:00"]
    assert not list((copy.root / "results/models").glob(".*"))
    assert "epoch 1 of 100" not in (copy.root / log).read_text(), "it was to go on, not to begin again"

    for file in ("model", "heads"):
        trained, undisturbed = (project.root / target / f"{file}.safetensors" for project in (copy, local))
        assert trained.read_bytes() == undisturbed.read_bytes()
