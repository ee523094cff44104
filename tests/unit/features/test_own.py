"""A feature of a study's own: one file and one word, and the jobs that they make."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt.config import Study, load_study
from emoadapt.errors import ConfigError
from emoadapt.plugins import use_folder
from emoadapt.study.graph import Graph

PAGE = Path(__file__).parents[3] / "docs/add-a-feature.md"
CORPUS = {"c": {"importer": "folder", "root": "clips", "shards": 2}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the clips, and with the module that the page shows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    for number in range(8):
        (tmp_path / f"clips/{number}.wav").write_bytes(bytes([number]))
    path, text = re.search(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL).groups()
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    yield tmp_path
    use_folder(None)
    sys.modules.pop("emoadapt.features.pauses", None)


def make_study(**features: object) -> Study:
    return load_study({"study": "s", "plugins": "my_plugins", "corpora": CORPUS, "features": features})


def test_it_adds_its_own_jobs_and_changes_no_other(folder: Path) -> None:
    before = Graph(load_study({"study": "s", "corpora": CORPUS, "features": {"also": ["egemaps"]}}))
    recipes = {name: before.recipe(name) for name in before.features()}
    after = Graph(make_study(also=["egemaps", "pauses"]))
    added = {f"results/features/pauses/c/{shard}.parquet" for shard in ("000", "001")}
    assert {*after.all_features()} - {*before.all_features()} == added
    assert {name: after.recipe(name) for name in recipes} == recipes
    assert {*after.features()} - {*recipes} == {"pauses"}
    assert after.feature_tables("pauses") == {"audio": "results/features/audio/{corpus}/{shard}.parquet"}
    assert (after.feature_job("pauses").memory_mb, after.feature_job("pauses").minutes) == (1000, 30)


@pytest.mark.parametrize("name", ["INPUTS", "TERMS", "TABLE"])
def test_what_it_does_not_declare_is_not_guessed(folder: Path, name: str) -> None:
    file = folder / "my_plugins/features/pauses.py"
    file.write_text(re.sub(rf"^{name} = ", f"_{name} = ", file.read_text(), flags=re.MULTILINE))
    with pytest.raises(ConfigError, match=f"feature pauses does not declare {name}"):
        make_study()


def test_its_keys_are_checked_and_decide_its_rows(folder: Path) -> None:
    usual, other = (Graph(make_study(pauses={"below_db": value})) for value in (30.0, 20.0))
    assert usual.recipe("pauses") == Graph(make_study()).recipe("pauses") != other.recipe("pauses")
    with pytest.raises(ConfigError, match=r"features\.pauses\.below_db: found -1\.0"):
        make_study(pauses={"below_db": -1.0})


def test_it_is_computed_by_the_command_that_its_rule_calls(folder: Path) -> None:
    """In a process of its own, which reads the study and finds the module by its name."""
    study = make_study(also=["pauses"])
    text = (
        "import sys, json, numpy as np; from pathlib import Path; from emoadapt.config import read_study\n"
        "from emoadapt.extraction.recipes import find_section, load_extractor\n"
        "from emoadapt.features.base import Context\n"
        "extractor = load_extractor('pauses')(find_section(read_study(['study.json']), 'pauses'), Context(Path()))\n"
        "loud, quiet = np.full(4000, 9000, '<i2'), np.full(12000, 9, '<i2')\n"
        "print(extractor.extract([{'audio': loud.tobytes() + quiet.tobytes()}]))"
    )
    Path("study.json").write_text(study.model_dump_json(exclude_unset=True))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == [{"pauses": [0.75]}]
