"""The pages on adding a backbone and a pooling, as far as they need no workflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["add-a-backbone.md", "add-a-pooling.md"])
def test_a_module_and_a_line_in_a_study_are_enough(page: str, tmp_path: Path) -> None:
    (tmp_path / "media/unlabelled").mkdir(parents=True)
    text = (DOCS / page).read_text()
    for name, content in re.findall(r"```\w+\n# (\S+)\n(.*?)```", text, flags=re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (said,) = re.findall(r"\$ python try_it.py\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "try_it.py"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == said
