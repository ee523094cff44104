"""What a person sees of a run on a terminal, and that a pipe and the log file get Snakemake's own lines."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from project import Project, create_project

MANIFEST = "results/manifests/labelled/000.parquet"
OTHER = "results/manifests/unlabelled/000.parquet"
AUDIO = "results/features/audio/labelled/000.parquet"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Nothing was made yet but one manifest, in a pipe."""
    project = create_project(tmp_path_factory.mktemp("terminal") / "project")
    done = project.snakemake(MANIFEST)
    assert done.returncode == 0, done.stderr
    assert "localrule manifest:" in done.stderr and "Finished jobid: 0 (Rule: manifest)" in done.stderr
    assert "\x1b" not in done.stderr
    return project


def watch(project: Project, *arguments: str) -> tuple[int, str]:
    """Exit status, and all that a terminal of 100 columns was sent, without its control sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        project._command(*arguments), cwd=project.root, env=project._environment() | {"TERM": "xterm", "NO_COLOR": "1"},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    sent = bytearray()
    while True:
        try:
            sent += os.read(ours, 65536)
        except OSError:  # The last process that had the terminal has ended.
            break
    os.close(ours)
    # A line that is drawn again begins with being erased.
    lines = re.sub(r"\r|\x1b\[2K", "\n", sent.decode())
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", lines)


def newest_log(project: Project) -> str:
    return max((project.root / ".snakemake/log").iterdir(), key=lambda path: path.name).read_text()


def test_a_dry_run_is_a_table_on_a_terminal(fresh: Project) -> None:
    status, seen = watch(fresh, "--dry-run")
    assert status == 0, seen
    assert re.search(r"^Stage 1 +1 +no output yet *$", seen, re.MULTILINE)
    assert re.search(r"^report +1 +no output yet *$", seen, re.MULTILINE)
    assert "wildcards:" not in seen and len(seen) < 2000


def test_stages_and_a_failed_job_are_shown_on_a_terminal(fresh: Project) -> None:
    # Stages are drawn once a second: a job must run for longer to be seen.
    fresh.edit("rules/features.smk", '"python -m emoadapt extract', '"sleep 2; python -m emoadapt extract')
    path: Path = fresh.root / MANIFEST
    # A damaged page: Snakemake reads only the end of a table.
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    status, seen = watch(fresh, OTHER, AUDIO)
    assert status != 0
    assert re.search(r"^corpora +━{16} +1/1 +\d:\d\d:\d\d *$", seen, re.MULTILINE), seen
    assert re.search(r"^audio +0/1 +1 running +\d:\d\d:\d\d +\? *$", seen, re.MULTILINE), seen
    assert re.search(r"^audio labelled 000 +\d:\d\d:\d\d", seen, re.MULTILINE), "a running job"
    assert "failed: audio, audio corpus=labelled shard=000 after" in seen
    said = re.search(r"^    (\d\d:\d\d:\d\d )?(emoadapt: .*)$", seen, re.MULTILINE)
    assert said and MANIFEST in said[2], "the log's sentence"
    assert "    log: logs/audio/labelled/000.log" in seen
    assert re.search(r"^1 of 2 jobs done in \d:\d\d:\d\d, 1 failed:$", seen, re.MULTILINE)
    assert "At least one job did not complete successfully" in seen
    assert "Traceback" not in seen and "Finished jobid" not in seen and "localrule" not in seen
    written = newest_log(fresh)
    assert "localrule manifest:" in written and "Error in rule audio:" in written and "\x1b" not in written


def test_a_configuration_file_that_snakemake_cannot_read_is_explained(fresh: Project) -> None:
    """Symptom: a traceback for a file that is not there; neither file nor line for a tab. Snakemake reads them before the Snakefile."""
    (fresh.root / "tab.yaml").write_text("study: mine\ncorpora:\n\tmine: {}\n")
    environment = fresh._environment() | {"PYTHONPATH": str(fresh.root / "src")}
    for file, sentence in (
        ("nosuch.yaml", "nosuch.yaml cannot be read (No such file or directory); name an existing configuration file"),
        ("tab.yaml", "tab.yaml is not valid YAML: line 3 holds a tab; indent with spaces"),
    ):
        command = fresh._command("--dry-run", configfile=file)
        done = subprocess.run(command, cwd=fresh.root, env=environment, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and sentence in said and "Traceback" not in said, said
