"""Fine-tunings that need other models of the same task."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.config.availability import leave_out
from emoadapt.errors import ConfigError
from emoadapt.study.graph import Graph
from emoadapt.study.nodes import Model, Run, Setting
from emoadapt.study.plan.sizes import CorpusSize
from emoadapt.study.plan.work import plan_study

TINY = {"architecture": "wav2vec2", "untrained": {}}


def make_study(**finetunings: dict[str, Any]) -> dict[str, Any]:
    """Two backbones, trained with two seeds on a task of two folds with 12 clips and with all."""
    usual = {name: {"backbones": [name], "seeds": [0, 1]} for name in ("a", "b")}
    return {
        "study": "upstream",
        "runs_per_job": 2,
        "corpora": {"c": {"importer": "folder", "root": "."}, "gone": {"importer": "folder", "root": "."}},
        "backbones": {"a": TINY, "b": TINY},
        "adaptations": {"adapted": {"corpora": ["gone"], "objectives": {"egemaps": 1.0}, "backbones": ["a"]}},
        "tasks": {
            "t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "folds", "k": 3}, "subsets": [12, "full"]},
            "u": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "folds", "k": 3}, "subsets": [12]},
        },
        "finetunings": usual | {name: {"seeds": [0, 1], **keys} for name, keys in finetunings.items()},
    }


def fused(*of: str, **keys: Any) -> dict[str, Any]:
    return {"method": "fuse", "of": list(of), **keys}


def test_a_run_reads_the_batches_that_hold_its_upstream_runs() -> None:
    """Six runs in batches of two: a batch of the fused model needs those of the same runs, and no other."""
    graph = Graph(load_study(make_study(f=fused("a.original.a", "b.original.b"))))
    setting = Setting("t", Model.parse("a.original.f"), "12")
    found = graph.upstream_tables(setting, [Run(fold=2), Run(seed=1)])
    places = [f"results/runs/t/{{}}/12/{batch}/predictions.parquet" for batch in ("b001",)]
    assert found == {name: [place.format(name) for place in places] for name in ("a.original.a", "b.original.b")}
    assert graph.training_inputs_of(setting, [Run(seed=1)])["shards"] == []


def test_a_model_needs_other_models_wherever_it_is_trained() -> None:
    graph = Graph(load_study(make_study(f=fused("a.original.a", "b.original.b", tasks=["t"]))))
    assert [str(s.model) for s in graph.study.list_settings("u")] == [
        "a.original.a", "a.adapted.a", "b.original.b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("finetunings", "message"),
    [
        ({"f": fused("a.original.a", "b.original.bb")}, r"finetunings\.f\.of: b\.original\.bb is not trained; did you mean b\.original\.b\?"),
        ({"f": fused("a.original.a", "a.original.f")}, r"finetunings\.f: it needs its own outcome \(f -> f\)"),
        (
            {"f": fused("a.original.g", "b.original.b"), "g": fused("a.original.f", "b.original.b")},
            r"finetunings\.f: it needs its own outcome \(f -> g -> f\)",
        ),
        (
            {"a": {"backbones": ["a"], "tasks": ["u"]}, "f": fused("a.original.a", "b.original.b")},
            r"finetunings\.f\.of: a\.original\.a is not trained on 12 clips of task t, as a\.original\.f is; train it there",
        ),
        (
            {"a": {"backbones": ["a"], "subsets": ["full"]}, "f": fused("a.original.a", "b.original.b")},
            r"a\.original\.a is not trained on 12 clips of task t",
        ),
        (
            {"f": fused("a.original.a", "b.original.b", seeds=[1, 2])},
            r"a\.original\.a lacks 1 of the runs of a\.original\.f on 12 clips of task t, such as p0f0r0s2; give both",
        ),
    ],
)  # fmt: skip
def test_what_an_upstream_model_lacks_is_said(finetunings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study(make_study(**finetunings))


def test_a_study_with_upstream_models_reaches_other_processes() -> None:
    study = load_study(make_study(f=fused("a.original.a", "b.original.b")))
    assert pickle.loads(pickle.dumps(study)).finetunings["f"] == study.finetunings["f"]


def test_the_plan_knows_what_upstream_models_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corpora of Stage 1 behind them, and the pass over training clips that are kept; a fusion hears nothing."""
    monkeypatch.chdir(tmp_path)
    values = make_study(f=fused("b.original.b", "a.adapted.a"), teacher={"backbones": ["b"], "keep": "embeddings"})
    values["tasks"] = {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "fractions"}}}
    sizes = {"c": CorpusSize(100, 360.0), "gone": CorpusSize(10, 36.0, needs="its root is missing")}
    rows = {row.finetuning: row for row in plan_study(load_study(values), sizes) if row.start == "original"}
    assert (rows["f"].needs, rows["f"].runs, rows["f"].media_hours) == ("needs corpus gone", 2, 0.0)
    share = values["tasks"]["t"]["split"].get("train", 0.7)
    # Two runs, .1 h of clips.
    assert rows["teacher"].media_hours - rows["b"].media_hours == pytest.approx(2 * 0.1 * share)
    assert rows["teacher"].needs == ""


def test_what_needs_a_model_that_is_left_out_is_left_out_too() -> None:
    values = make_study(f=fused("a.adapted.a", "b.original.b"), g=fused("b.original.b", "a.adapted.f"))
    values["corpora"]["gone"] |= {"optional": True, "root": "/nowhere"}
    rest, left_out = leave_out(values)
    assert {"finetunings.f", "finetunings.g"} <= left_out.keys()
    assert left_out["finetunings.g"] == "needs corpus gone"
    assert "a.adapted.a" not in map(str, load_study(rest).list_models())


def test_what_needs_a_left_out_default_is_left_out_too() -> None:
    """`a.original` is the model of the fine-tuning `default`, whose only task is gone."""
    values = make_study(f=fused("a.original", "b.original.b"), default={"backbones": ["a"], "tasks": ["lost"]})
    values["corpora"]["gone"] |= {"optional": True, "root": "/nowhere"}
    values["tasks"]["lost"] = values["tasks"]["u"] | {"corpus": "gone"}
    _, left_out = leave_out(values)
    assert left_out["finetunings.f"] == left_out["finetunings.default"] == "needs corpus gone"
