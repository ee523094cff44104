"""Names of programs in commands that are printed for a person."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emoadapt.machine import programs
from emoadapt.machine.programs import name_program

CODE = "from emoadapt.machine.programs import *; put_own_first(); print(name_program('emoadapt'), name_program('snakemake'))"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment `my env` in this folder, of whose Python this process is."""
    folder = tmp_path / "my env/bin"
    folder.mkdir(parents=True)
    for name in ("python", "emoadapt"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(programs, "_SHELL_PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(environment, monkeypatch):
    """Symptom: the last line of `make demo` gave `command not found` in a fresh shell."""
    assert name_program("emoadapt") == "'my env/bin/emoadapt'"
    monkeypatch.chdir("/")
    assert name_program("emoadapt") == f"'{environment.relative_to('/')}/emoadapt'"
    monkeypatch.chdir("/usr")
    assert name_program("emoadapt") == f"'{environment}/emoadapt'"


def test_another_program_of_the_name_is_not_taken_for_this_one(environment, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "emoadapt").write_text("#!/bin/sh\n")
    (other / "emoadapt").chmod(0o755)
    monkeypatch.setattr(programs, "_SHELL_PATH", str(other))
    assert name_program("emoadapt") == "'my env/bin/emoadapt'"
    monkeypatch.setattr(programs, "_SHELL_PATH", f"{environment}{os.pathsep}{other}")
    assert name_program("emoadapt") == "emoadapt"


def test_a_program_that_this_environment_lacks_keeps_its_name(environment):
    assert name_program("snakemake") == "snakemake"


def test_the_path_that_rules_get_is_not_the_one_of_the_shell(tmp_path):
    """A run puts its own environment first on the PATH of its rules, and would find itself there."""
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "emoadapt").write_text("#!/bin/sh\n")
    (folder / "emoadapt").chmod(0o755)
    code = f"import sys; sys.executable = {str(folder / 'python')!r}; {CODE}"
    run = [sys.executable, "-c", code]
    source = str(Path(programs.__file__).parents[2])
    for path, said in (("/usr/bin:/bin", ".venv/bin/emoadapt"), (f"{folder}:/bin", "emoadapt")):
        environment = {"PATH": path, "PYTHONPATH": source}
        done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        assert done.stdout.split() == [said, "snakemake"]
