"""What the methods of training declare is true, of every one."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from emoadapt.backbones import base
from emoadapt.config.training import Adaptation, Finetuning
from emoadapt.flow.code import read_covered
from emoadapt.plugins import find_source, list_plugins, load_plugin, read_declaration
from emoadapt.study.nodes import Run
from emoadapt.training import finetuning

SCOPES = {name: read_declaration("methods", name, "SCOPE") for name in list_plugins("methods")}
CASES: dict[str, dict[str, Any]] = {name: {"method": name} for name, scope in SCOPES.items() if scope == "run"}
CASES["fuse"]["of"] = ["tiny.original", "egemaps.original.mlp"]
CASES["student"]["teacher"] = "egemaps.original.teacher"
CASES["domain"]["target"] = False
CASES["probe, logistic"] = {"method": "probe", "classifier": "logistic", "layer": "last"}


def prepare(work, case: str) -> str:
    """Tables, and a fine-tuning of a case; returns the name of its model."""
    work.write_labelled()
    work.write_layers(work.make_layers(telling=2))
    settings = CASES[case] if case == "fuse" else {"backbones": ["tiny"], **CASES[case]}
    if "teacher" in settings:
        work.teach(settings["teacher"], [Run(), Run(seed=1)])
    for model in settings.get("of", []):
        work.write_predictions(model, {0: [1.0, 0.5], 1: [0.0, -1.0]})
    config = load_plugin("methods", settings["method"]).Config
    by_epochs = settings.get("classifier") != "logistic"
    short = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3} if by_epochs else {}
    work.tune("tried", **settings, **{key: value for key, value in short.items() if key in config.model_fields})
    return "tiny.original.tried"


@pytest.mark.parametrize("name", SCOPES)
def test_a_method_has_a_section_that_it_is_chosen_by(name: str) -> None:
    module = load_plugin("methods", name)
    assert SCOPES[name] in ("study", "run")
    assert issubclass(module.Config, Adaptation if SCOPES[name] == "study" else Finetuning)
    assert get_args(module.Config.model_fields["method"].annotation) == (name,)
    assert module.Config.__doc__ and callable(module.train)


@pytest.mark.parametrize("name", SCOPES)
def test_a_section_is_read_without_what_trains(name: str) -> None:
    """Every command reads all sections; a method may be the first module that is imported, too."""
    code = (
        f"import sys, emoadapt.methods.{name}; print(sorted({{'torch', 'sklearn', 'transformers'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("case", CASES)
def test_runs_differ_by_their_seed_unless_the_method_is_deterministic(work, case: str) -> None:
    model = prepare(work, case)
    found = work.train(model, [Run(), Run(seed=1)])["predictions"]
    first, second = (np.array(found.filter(seed=seed)["logits"].to_list()) for seed in (0, 1))
    assert np.array_equal(first, second) is work.study.finetunings["tried"].deterministic


@pytest.mark.parametrize("case", CASES)
def test_a_frozen_backbone_is_not_loaded(work, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kept layers are all that is read, and there are no embeddings that training would have changed."""
    model, load, loaded = prepare(work, case), base.load_backbone, []
    for module in (finetuning, base):
        monkeypatch.setattr(module, "load_backbone", lambda *args: loaded.append(args) or load(*args))
    frozen = work.study.finetunings["tried"].frozen
    tables = work.train(model, reads=["layers"] if frozen else ["audio"])
    assert not loaded if frozen else loaded
    assert tables["embeddings"].is_empty() is frozen
    assert not tables["predictions"].is_empty()


@pytest.mark.parametrize("case", CASES)
def test_a_method_learns_the_kinds_of_tasks_that_it_names(work, case: str) -> None:
    model = prepare(work, case)
    questions = work.study.finetunings["tried"].questions
    assert "classes" in questions
    if "attributes" in questions:
        work.values["tasks"]["emotion"] |= {"attributes": ["arousal"]}
        del work.values["tasks"]["emotion"]["classes"]
        if "teacher" in CASES[case]:
            work.teach(CASES[case]["teacher"], [Run()])
        found = work.train(model)["predictions"]
        assert found["attribute"].unique().to_list() == ["arousal"] and found["predicted"].is_finite().all()


@pytest.mark.parametrize("case", CASES)
def test_only_keys_that_decide_a_training_are_described(work, case: str) -> None:
    """Where a fine-tuning is applied, and which seeds there are, makes no run another."""
    prepare(work, case)
    before = work.study.finetunings["tried"].describe()
    where = {} if case == "fuse" else {"starts": ["original"]}
    work.tune("tried", tasks=["emotion"], seeds=[2, 1], **where)
    assert work.study.finetunings["tried"].describe() == before
    work.tune("tried", **({"of": CASES[case]["of"][::-1]} if case == "fuse" else {"class_weights": "balanced"}))
    assert work.study.finetunings["tried"].describe() != before


ELSEWHERE = {"adapt": {"corpora", "held_out"}}
"""Keys that other jobs read: the one that draws the held-out part, and the graph."""
APPLIED = {"method", "backbones", "starts", "tasks", "subsets", "seeds"}
"""Keys that say where a training is done, and how often."""


def list_nodes(module: str) -> Iterator[ast.AST]:
    """Syntax of a module; of a definition, such as a section, that of its own alone."""
    if source := find_source(module):
        return ast.walk(ast.parse(source.read_text()))
    place, _, name = module.rpartition(".")
    tree = ast.parse(found.read_text()) if (found := find_source(place)) else ast.Module([], [])
    return (part for node in tree.body if getattr(node, "name", None) == name for part in ast.walk(node))


def list_read_names(name: str) -> set[str]:
    """Attributes, and names of attributes as texts, in what the digest of a method's jobs covers: modules, and the methods of sections."""
    found = set()
    for module in read_covered(f"emoadapt.methods.{name}"):
        for node in list_nodes(module):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize("name", SCOPES)
def test_each_key_is_read_by_code_that_its_digest_covers(name: str) -> None:
    keys = {*load_plugin("methods", name).Config.model_fields}
    assert keys - APPLIED - ELSEWHERE.get(name, set()) <= list_read_names(name)


@pytest.mark.parametrize(
    ("key", "value"), [("batch_seconds", 10), ("max_seconds", 3.0), ("crop", "centre"), ("compile", True)]
)
def test_a_probe_refuses_keys_that_it_does_not_read(key: str, value: object) -> None:
    """Symptom: `max_seconds` of a probe was taken, and its layers were means over whole clips."""
    with pytest.raises(ValidationError, match=f"a probe reads .* and no audio; remove {key}"):
        load_plugin("methods", "probe").Config(method="probe", **{key: value})
