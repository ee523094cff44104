"""What each output is made from, by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.errors import DataError
from emoadapt.flow.claims import Origin, explain_change
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
        ("tables", 21),
        ("report/index.html", 21),
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
        DataError, match=r"does not belong to this study: adaptations\.adapted\.objectives\.egemaps: 1\.0 -> 0\.01"
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


MADE_BY_NO_KEY = {"code", "libraries", "weights", "columns", "targets", "runs", "comparisons", "template", "target_classes", "left_out", "recogniser", "study"}  # fmt: skip
PLACES = [
    "manifests/c/000.parquet", "splits/t/0.parquet", "leaks/t.parquet", "features/egemaps/d/000.parquet", "features/frontend.tiny/c/000.parquet",
    "targets/adapted/parts.parquet", "targets/adapted/normalisers.parquet", "training/egemaps/d/000.parquet", "models/tiny.adapted",
    "metrics/t.parquet", "tables",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_settings_are_named_by_their_keys_in_the_study(place: str) -> None:
    """Symptom: an edit of finetunings.svm.c was explained by `training.c`, which is no key."""
    origins = make_origins()
    study = origins.study.model_dump()
    for part in set(origins.find(f"results/{place}").describe()) - MADE_BY_NO_KEY:
        found = study
        for key in part.split("."):
            assert key in found, part
            found = found[key]


@pytest.mark.parametrize(
    ("place", "path", "value", "words"),
    [
        ("runs/t/tiny.original/full/b000/predictions.parquet", "finetunings.default.epochs", 7, "finetunings.default.epochs: 20 -> 7"),
        ("models/tiny.adapted", "adaptations.adapted.objectives.egemaps", 2.0, "adaptations.adapted.objectives.egemaps: 1.0 -> 2.0"),
        ("models/tiny.adapted", "backbones.tiny.untrained.layers", 2, "backbones.tiny.untrained.layers: 1 -> 2"),
        ("manifests/c/000.parquet", "corpora.c.shards", 3, "corpora.c.shards: 2 -> 3"),
        ("features/egemaps/c/000.parquet", "features.egemaps.window", "paper", "features.egemaps.window: paper_pitch60 -> paper"),
        ("splits/t/0.parquet", "tasks.t.split.seed", 4, "tasks.t.split.seed: 0 -> 4"),
        ("targets/adapted/parts.parquet", "adaptations.adapted.held_out", 0.2, "adaptations.adapted.held_out: 0.15 -> 0.2"),
        ("tables", "report.bootstrap", 500, "report.bootstrap: 1000 -> 500"),
    ],
)  # fmt: skip
def test_an_edit_is_explained_by_its_key(place: str, path: str, value: Any, words: str) -> None:
    before = make_origins()
    values = before.study.model_dump(mode="json", exclude_unset=True)
    *above, last = path.split(".")
    section = values
    for key in above:
        section = section.setdefault(key, {})
    section[last] = value
    after = Origins(Graph(load_study(values)))
    assert explain_change(before.find(f"results/{place}").made, after.find(f"results/{place}").made) == words
