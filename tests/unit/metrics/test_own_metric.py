"""Metrics of a study's own: the page about them is followed to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.errors import ConfigError
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import evaluate_task, name_table
from emoadapt.evaluation.questions import pose_question
from emoadapt.flow.code import code_digest
from emoadapt.metrics.base import label_score
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.graph import Graph

PAGE = Path(__file__).parents[3] / "docs/add-a-metric.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
CLASSES = ("low", "high")
RATINGS = {"corpus": "speech", "attributes": ["arousal", "valence"], "split": {"by": "leave_one_speaker_out"}}


@pytest.fixture
def page(own: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The modules of the page where it says, and its study with a task of attributes beside its own."""
    monkeypatch.chdir(own.parents[1])
    modules = [text for language, text in BLOCKS if language == "python"]
    for text in modules:
        Path(re.match(r"# (\S+)\n", text)[1]).write_text(text)
    assert sorted(path.stem for path in own.glob("*.py")) == ["kappa", "mae"]
    (study,) = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    study["tasks"]["ratings"] = RATINGS
    study["finetunings"]["regress"] = {"method": "finetune"}
    return study


def run(seed: int, **columns) -> dict:
    return dict(task="emotions", backbone="egemaps", start="original", finetuning="default", subset="full", partition=0,
                resampling=0, fold=0, seed=seed, test_corpus="speech", speaker="s", sex=None) | columns  # fmt: skip


def test_own_metric_of_classes_is_in_all_tables(page: dict, tmp_path: Path) -> None:
    study = load_study(page)
    assert study.tables["agreement"].metric == "kappa" and not study.tables["agreement"].lower_is_better
    generator = np.random.default_rng(0)
    labels, guesses = generator.choice(CLASSES, size=(2, 60))
    rows = [
        run(seed, utterance_id=f"speech/{number}", label=label, predicted=guess if number % (2 + seed) else label, logits=[0, 0])
        for seed in (0, 1) for number, (label, guess) in enumerate(zip(labels, guesses, strict=True))
    ]  # fmt: skip
    write_table(tmp_path / "p.parquet", rows, schema.PREDICTIONS)
    task = study.tasks["emotions"]
    evaluate_task(pose_question("emotions", task.kind, task.outputs), [tmp_path / "p.parquet"], [], tmp_path, Scoring())
    metrics = pl.from_arrow(read_table(name_table(tmp_path, "emotions"), schema.METRICS))
    comparisons = pl.from_arrow(read_table(name_table(tmp_path, "emotions", "comparisons"), schema.COMPARISONS))
    for seed in (0, 1):
        own = [row for row in rows if row["seed"] == seed]
        expected = cohen_kappa_score([row["label"] for row in own], [row["predicted"] for row in own])
        assert metrics.filter(metric="kappa", seed=seed)["value"].to_list() == [pytest.approx(expected)]
    row = comparisons.filter(metric="kappa").row(0, named=True)
    assert row["low"] < row["mean"] < row["high"]
    assert label_score("kappa") == "Cohen's kappa"


def test_own_metric_of_attributes_has_a_score_for_each_and_their_mean(page: dict, tmp_path: Path) -> None:
    parts = [{"models": ["egemaps.original.regress"]}]
    page["tables"]["agreement"] |= {"metric": "mae_arousal", "tasks": ["ratings"], "parts": parts}
    study = load_study(page)
    assert study.tables["agreement"].lower_is_better
    generator = np.random.default_rng(0)
    rows = [
        run(0, task="ratings", utterance_id=f"speech/{number}", attribute=attribute, value=3.0, predicted=3 + error)
        for attribute in ("arousal", "valence") for number, error in enumerate(generator.normal(size=30))
    ]  # fmt: skip
    for row in rows:
        row["value"] += row["utterance_id"].endswith("1")
    write_table(tmp_path / "p.parquet", rows, schema.ATTRIBUTE_PREDICTIONS)
    question = pose_question("ratings", "attributes", ("arousal", "valence"))
    evaluate_task(question, [tmp_path / "p.parquet"], [], tmp_path, Scoring(bootstrap=100))
    found = dict(pl.read_parquet(name_table(tmp_path, "ratings")).select("metric", "value").iter_rows())
    errors = {
        name: np.mean([abs(row["predicted"] - row["value"]) for row in rows if row["attribute"] == name])
        for name in ("arousal", "valence")
    }
    assert found["mae_arousal"] == pytest.approx(errors["arousal"])
    assert found["mae_mean"] == pytest.approx(np.mean([*errors.values()]))


def test_table_of_the_wrong_question_is_refused(page: dict) -> None:
    page["tables"]["agreement"]["metric"] = "mae_mean"
    with pytest.raises(
        ConfigError, match=r"tables.agreement.metric: task emotions has classes, and no mae_mean; there is .*kappa"
    ):
        load_study(page)


def test_new_metric_makes_the_evaluation_of_its_question_stale_and_nothing_else(page: dict, own: Path) -> None:
    def digests() -> dict[str, str]:
        code_digest.cache_clear()
        graph = Graph(load_study(page))
        trainings = {f"train {s.task}": graph.training_code(s) for s in graph.study.list_settings()}
        return trainings | {f"evaluate {task}": graph.evaluation_code(task) for task in graph.study.tasks}

    before = digests()
    assert {"train emotions", "train ratings"} < {*before}
    kappa = (own / "kappa.py").read_text()
    (own / "tau.py").write_text(kappa.replace("Cohen's kappa", "tau"))
    changed = digests()
    assert [name for name in before if changed[name] != before[name]] == ["evaluate emotions"]
    (own / "tau.py").unlink()
    (own / "kappa.py").write_text(kappa.replace("total**2", "total ** 2 + 0"))
    changed = digests()
    assert [name for name in before if changed[name] != before[name]] == ["evaluate emotions"]
