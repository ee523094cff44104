"""The pages "Adding a ..." do what they say: files are written, commands run, outputs compared."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, create_project

pytestmark = pytest.mark.slow

TEXTS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("add-a*.md"))}
PAGES = [name for name, text in TEXTS.items() if "```console" in text]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def run_page(text: str, folder: Path, environment: dict[str, str]) -> None:
    """Do what a page says, in a project's folder.

    A block whose first line is a comment with a path is a file of that name. A block `console` holds commands behind `$`, each followed
    by lines that its output must contain; a program of the page's own prints these lines and no others.
    """
    for kind, block in BLOCK.findall(text):
        first, _, rest = block.partition("\n")
        if match := re.fullmatch(r"# (\S+\.(?:py|yaml|csv))", first):
            path = folder / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest)
        elif kind == "console":
            for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                python = [str(Path(sys.executable).with_name("python")), "-W", "ignore"]
                words = [new for word in shlex.split(command) for new in (python if word == "python" else [word])]
                done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                output = done.stdout + done.stderr
                assert done.returncode == 0, f"{command}\n{output}"
                for line in filter(None, said.splitlines()):
                    assert line in output, f"{command} does not say {line!r}:\n{output}"
                assert not command.endswith(".py") or done.stdout.strip() == said.strip()


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, tmp_path: Path) -> None:
    project = create_project(tmp_path)
    environment = project._environment()
    environment |= {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "PYTHONPATH": str(tmp_path / "src")}
    run_page(TEXTS[page], tmp_path, environment)


@pytest.mark.parametrize("page", [name for name in TEXTS if name not in PAGES])
def test_page_without_commands_is_executed_by_a_unit_test(page: str) -> None:
    tests = [path.read_text() for path in (ROOT / "tests/unit").rglob("test_*.py")]
    assert any(f'"docs/{page}").read_text(' in text for text in tests)
