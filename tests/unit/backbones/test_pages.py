"""The pages on adding a backbone and a pooling: what they say is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
STUDY = "study: mine\ncorpora:\n  clips: {importer: folder, root: clips}\n"


@pytest.mark.parametrize("page", ["add-a-backbone.md", "add-a-pooling.md"])
def test_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    """Its module dropped into a folder, its line put into a study, and its code run."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "yaml", "python", "text"]
    module, line, code, printed = (text for _, text in blocks)
    place = tmp_path / module.splitlines()[0].removeprefix("# ")
    place.parent.mkdir(parents=True)
    place.write_text(module)
    (tmp_path / "my_study.yaml").write_text(STUDY + line)
    (tmp_path / "clips").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
