"""Finding of plug-ins, built in and a study's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt import plugins
from emoadapt.config import load_study
from emoadapt.errors import ConfigError
from emoadapt.flow.code import code_digest


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder with one objective."""
    folder = tmp_path / "mine"
    (folder / "objectives").mkdir(parents=True)
    (folder / "objectives/loudness.py").write_text(
        'import not_installed\nFEATURE = "egemaps"\nCOLUMN: str = "egemaps"\n'
    )
    yield folder
    plugins.use_folder(None)


def test_declarations_are_read_without_importing(own: Path) -> None:
    plugins.use_folder(own)
    assert plugins.read_declaration("objectives", "loudness", "FEATURE") == "egemaps"
    assert plugins.read_declaration("objectives", "loudness", "COLUMN") == "egemaps"
    assert plugins.read_declaration("objectives", "loudness", "MISSING") is None
    assert plugins.collect_declarations("objectives", "FEATURE")["loudness"] == "egemaps"


def test_base_and_private_modules_are_no_plugins(own: Path) -> None:
    for name in ("base", "_shared"):
        (own / "objectives" / f"{name}.py").touch()
    plugins.use_folder(own)
    assert "loudness" in plugins.list_plugins("objectives")
    assert not {"base", "_shared"} & {*plugins.list_plugins("objectives")}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="objective egemap is not known; did you mean egemaps"):
        plugins.load_plugin("objectives", "egemap")


def test_own_plugins_are_imported_here_and_in_processes(own: Path) -> None:
    (own / "objectives/loudness.py").write_text('FEATURE = "egemaps"\n')
    plugins.use_folder(own)
    assert plugins.load_plugin("objectives", "loudness").FEATURE == "egemaps"
    code = "import emoadapt.objectives.loudness as found; print(found.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == own / "objectives/loudness.py"


def test_own_plugins_are_part_of_digests(own: Path) -> None:
    plugins.use_folder(own)
    before = code_digest("emoadapt.objectives.loudness")
    (own / "objectives/loudness.py").write_text('FEATURE = "sentiment"\n')
    code_digest.cache_clear()
    assert code_digest("emoadapt.objectives.loudness") != before


@pytest.mark.parametrize("made", [None, "objectives/egemaps.py", "objective/mine.py"])
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, made: str | None) -> None:
    if made:
        (tmp_path / "mine" / made).parent.mkdir(parents=True)
        (tmp_path / "mine" / made).touch()
    with pytest.raises(ConfigError, match=r"plugins: \S+"):
        plugins.use_folder(tmp_path / "mine")
    assert plugins.FOLDER_VARIABLE not in os.environ


METHOD = """\
from typing import Literal

from emoadapt.config.training import Finetuning

SCOPE = "run"

class Config(Finetuning):
    method: Literal["mine"]

def train(job): ...
"""
FAMILY = 'ARCHITECTURES = ("hubert",)\n'


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("methods", METHOD.replace('"run"', '"runs"'), "training method mine: SCOPE must be 'study' or 'run'"),
        ("methods", METHOD.replace('SCOPE = "run"', ""), "training method mine: SCOPE must be 'study' or 'run'"),
        (
            "methods",
            METHOD.replace("def train", "def learn"),
            r"training method mine does not declare train \(\S+mine.py\)",
        ),
        ("methods", METHOD.replace("class Config", "class Other"), "training method mine does not declare Config"),
        ("methods", METHOD + "def (", r"training method mine: \S+mine.py cannot be used \(SyntaxError"),
        (
            "methods",
            "import not_installed\n" + METHOD,
            r"\S+mine.py cannot be used \(ModuleNotFoundError: .*not_installed",
        ),
        ("methods", METHOD + "1 / 0\n", r"\S+mine.py cannot be used \(ZeroDivisionError"),
        ("backbones", FAMILY, "backbone architecture hubert is named by two plug-ins, mine and speech_transformer"),
        ("backbones", "MODEL_TYPES = ()\n", r"backbone architecture: \S+mine.py does not declare Config"),
    ],
)
def test_own_plugin_that_cannot_be_used_is_named(own: Path, kind: str, text: str, said: str) -> None:
    """Symptoms: a traceback; or a family that took the name of a built-in architecture, and stood in for it without a word."""
    (own / "objectives/loudness.py").unlink()
    (own / kind).mkdir(exist_ok=True)
    (own / kind / "mine.py").write_text(text)
    values = {"study": "s", "corpora": {"c": {"importer": "folder", "root": "."}}, "plugins": str(own)}
    with pytest.raises(ConfigError, match=said):
        load_study(values)


@pytest.fixture(autouse=True)
def _forget_own_plugins() -> Iterator[None]:
    """Modules of one test are not those of the next."""
    yield
    for kind in plugins.KINDS:
        sys.modules.pop(f"emoadapt.{kind}.mine", None)
