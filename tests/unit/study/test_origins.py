"""What each output is made from, by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.errors import DataError
from emoadapt.flow.claims import Origin
from emoadapt.schema import SUBSETS
from emoadapt.storage.claims import Claim, state_claim
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.tables import write_table
from emoadapt.study.graph import Graph
from emoadapt.study.origins import Origins

ROOT = Path(__file__).parents[3]
MODEL = "results/models/tiny.adapted"


def make_origins(weight: float = 1.0, **changes: Any) -> Origins:
    """A study whose corpora are not here."""
    one = {"importer": "folder", "root": "media", "shards": 2}
    small = {"architecture": "wav2vec2", "untrained": {"layers": 1}}
    task = {"corpus": "c", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}
    values = {
        "study": "s",
        "corpora": {"c": one, "d": one},
        "backbones": {"tiny": small},
        "adaptations": {"adapted": {"corpora": ["d"], "objectives": {"egemaps": weight}}},
        "tasks": {"t": task},
        "finetunings": {"default": {"seeds": [0, 1]}},
    }
    return Origins(Graph(load_study(values | changes)))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOADAPT_CLAIM", "")
    monkeypatch.setenv("EMOADAPT_LIBRARIES", "")


def make(path: str, origin: Origin) -> None:
    """An output that claims its origin, once there is all that it is made from."""
    for other in origin.list_inputs():
        if not Path(other).exists():
            make(other, make_origins().find(other))
    # The corpora are not here.
    origin.state(origin.made, "")
    if path.endswith(".parquet"):
        write_table(path, [], SUBSETS)
    else:
        Path(path).mkdir(parents=True)
        seal_folder(Path(path))
    state_claim(None)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("manifests/c/000.parquet", 0),
        ("splits/t/0.parquet", 2),
        ("leaks/t.parquet", 5),
        ("features/audio/c/001.parquet", 1),
        ("features/frontend.tiny.adapted/c/001.parquet", 2),
        ("features/layers.tiny/c/001.parquet", 1),
        ("targets/adapted/parts.parquet", 2),
        ("targets/adapted/normalisers.parquet", 3),
        ("training/egemaps/d/000.parquet", 2),
        ("models/tiny.adapted", 4),
        ("curves/tiny.adapted.parquet", 4),
        ("metrics/word_errors.parquet", 0),
        ("tables", 20),
        ("report/index.html", 20),
    ],
)
def test_origin_is_found_by_the_path(path: str, read: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "compared_corpora", lambda _: [])
    origin = make_origins().find(f"results/{path}")
    assert len(origin.list_inputs()) == read and len(origin.made) == 32


def test_no_job_makes_what_is_no_output() -> None:
    with pytest.raises(ValueError, match="no job makes"):
        make_origins().find("results/report/else.txt")


def test_outputs_of_other_settings_are_refused_and_named() -> None:
    """Symptom: a report stated a weight of 0.01 over a model that was trained with 1.0."""
    curves = "results/curves/tiny.adapted.parquet"
    make(curves, make_origins().find(curves))
    assert len(make_origins().refuse_others([curves])) == 1 + 4 + 4 + 2
    with pytest.raises(
        DataError, match=r"does not belong to this study: adaptation\.objectives\.egemaps: 1\.0 -> 0\.01"
    ):
        make_origins(weight=0.01).refuse_others([curves])


def test_outputs_of_other_inputs_are_refused() -> None:
    curves = "results/curves/tiny.adapted.parquet"
    make(curves, make_origins().find(curves))
    shard = "results/training/egemaps/d/000.parquet"
    origin = make_origins().find(shard)
    origin.state(origin.made)
    write_table(shard, [dict.fromkeys(SUBSETS.names, None) | {field.name: _fill(field) for field in SUBSETS}], SUBSETS)
    with pytest.raises(DataError, match=rf"{curves} does not belong to this study: it was made from other inputs"):
        make_origins().refuse_others([curves])


def _fill(field: Any) -> Any:
    return "x" if str(field.type) == "string" else 0


def test_outputs_that_claim_nothing_are_refused() -> None:
    manifest = "results/manifests/c/000.parquet"
    write_table(manifest, [], SUBSETS)
    with pytest.raises(DataError, match="it does not say what it was made from"):
        make_origins().refuse_others([manifest])
    state_claim(Claim("0" * 32, "0" * 16))
    write_table(manifest, [], SUBSETS)
    with pytest.raises(DataError, match="made with other settings or code"):
        make_origins().refuse_others([manifest])


def test_no_command_line_grows_with_the_corpus() -> None:
    """Symptom: `Argument list too long`, of a study with 4,096 shards; Linux takes 128 KiB in one argument."""
    rules = sorted((ROOT / "rules").glob("*.smk"))
    assert rules and not [path.name for path in rules if "{input" in path.read_text()]
