"""Made-up folders, and the study that is written for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import Study, read_study
from emoadapt.study.check.study import print_check
from emoadapt.study.new import machine
from emoadapt.study.new.command import run_new_study
from emoadapt.study.new.drafts import Wishes


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, without weights and GPUs, and without variables that name folders above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOADAPT_MODELS", raising=False)
    monkeypatch.setattr(machine, "list_devices", list)


@pytest.fixture
def fill(tmp_path: Path) -> Callable[[str, Iterable[str]], Path]:
    """Write files with different content, as recordings have, into a folder that is named; returns it."""

    def call(folder: str, paths: Iterable[str]) -> Path:
        for path in paths:
            file = tmp_path / folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{folder}/{path}")
        return tmp_path / folder

    return call


@pytest.fixture
def write(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Study, str, str]]:
    """Write a study for folders, see that it passes `check`, and return it, its text and what was printed."""

    def call(*folders: str, wishes: Wishes | None = None, **options: Any) -> tuple[Study, str, str]:
        capsys.readouterr()
        run_new_study([Path(folder) for folder in folders], wishes or Wishes(), output=Path("mine.yaml"), **options)
        printed = capsys.readouterr().out
        study = read_study(["mine.yaml"])
        print_check(study)
        text = Path("mine.yaml").read_text()
        assert text.splitlines()[0].startswith("# Proposed by")
        assert printed.splitlines()[-1].endswith("emoadapt check --configfile mine.yaml")
        return study, text, printed

    return call
