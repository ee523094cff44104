"""What is proposed fixes the study, and changes nothing else of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from emoadapt.config import load_study
from emoadapt.errors import Change, ConfigError, Problem, Removal
from emoadapt.fixes import leave_out, limit, take_out
from emoadapt.study.check.hints import write_hint

WAV2VEC2 = {"architecture": "wav2vec2", "untrained": {"layers": 1}}
SPLIT = {"by": "fractions"}
CLASSES = {"corpus": "c", "classes": ["x", "y"], "split": SPLIT}


def study(**changes: Any) -> dict[str, Any]:
    """A study of speech, text, descriptors and fusions; `tasks__t__corpus="x"` changes one key."""
    text = {"architecture": "bert", "untrained": {"layers": 1}}
    values: dict[str, Any] = {
        "study": "s",
        "corpora": {name: {"importer": "folder", "root": name} for name in ("c", "d")},
        "backbones": {
            "w": WAV2VEC2, "t": text, "e": {"architecture": "vector", "reads": "egemaps"}, "lld": {"architecture": "lld_transformer"},
            "joint": {"architecture": "fusion", "of": {"a": "w", "b": "t"}},
            "raw": {"architecture": "fusion", "of": {"a": "w", "b": "lld"}},
        },
        "adaptations": {"ssl": {"corpora": ["c"], "objectives": {"energy_level": 1.0}, "backbones": ["lld"]}},
        "tasks": {"t": CLASSES, "u": {"corpus": "c", "attributes": ["arousal"], "split": SPLIT}},
        "finetunings": {"default": {"backbones": ["w"], "seeds": [0, 1]}},
    }  # fmt: skip
    values = copy.deepcopy(values)
    for path, value in changes.items():
        section, (*keys, last) = values, path.split("__")
        for key in keys:
            section = section.setdefault(key, {})
        section[last] = value
    return values


def apply(values: dict[str, Any], change: Change) -> dict[str, Any]:
    found = copy.deepcopy(values)
    section, (*keys, last) = found, change.key.split(".")
    for key in keys:
        section = section.setdefault(key, {})
    section[last] = change.value
    return found


def find_problem(values: dict[str, Any]) -> Problem:
    with pytest.raises(ConfigError) as error:
        load_study(values)
    (problem,) = error.value.problems
    return problem


def list_trained(values: dict[str, Any]) -> set[str]:
    return {f"{setting.task} {setting.model}" for setting in load_study(values).list_settings()}


DOMAIN = {"method": "domain", "backbones": ["w"], "tasks": ["t", "v"]}
FUSED = {"method": "fuse", "of": ["w.original", "w.original.other"], "tasks": ["t"], "seeds": [0, 1]}
OTHER = {"backbones": ["w"], "seeds": [0, 1]}
PROBE = {"method": "probe"}


@pytest.mark.parametrize(
    ("changes", "change", "trained"),
    [
        (
            {"tasks__t__target": {"corpus": "d"}, "tasks__v": CLASSES, "finetunings__new": DOMAIN},
            Change("finetunings.new.tasks", ["t"]), {"t w.original.new"},
        ),
        (
            {"finetunings__new": DOMAIN | {"backbones": ["w", "e"], "target": False, "tasks": ["t"]}},
            Change("finetunings.new.backbones", ["w"]), {"t w.original.new"},
        ),
        (
            {"finetunings__new": PROBE | {"layer": "last", "backbones": ["joint"]}},
            Change("finetunings.new.layer", "weighted"), {"t joint.original.new", "u joint.original.new"},
        ),
        (
            {"finetunings__new": PROBE | {"backbones": ["joint", "raw"]}},
            Change("finetunings.new.backbones", ["joint"]), {"t joint.original.new", "u joint.original.new"},
        ),
        (
            {"finetunings__new": PROBE | {"backbones": ["lld"]}},
            Change("finetunings.new.starts", ["ssl"], "of all its backbones"), {"t lld.ssl.new", "u lld.ssl.new"},
        ),
        (
            {"finetunings__other": OTHER, "finetunings__new": FUSED | {"of": ["w.original", "w.original.othr"]}},
            Change("finetunings.new.of", FUSED["of"]), {"t w.original.new"},
        ),
        (
            {"finetunings__other": OTHER, "finetunings__new": FUSED | {"seeds": [1, 2]}, "finetunings__default__seeds": [0, 1, 2]},
            Change("finetunings.other.seeds", [0, 1, 2]), {"t w.original.new"},
        ),
    ],
)  # fmt: skip
def test_the_first_proposal_fixes_the_study_and_loses_nothing_that_fits(
    changes: dict[str, Any], change: Change, trained: set[str]
) -> None:
    """Symptom: a fine-tuning was to be removed for one task that did not fit, and a model of a list replaced the list."""
    values = study(**changes)
    assert find_problem(values).fixes[0] == change
    assert {name for name in list_trained(apply(values, change)) if name.endswith(".new")} == trained


@pytest.mark.parametrize(
    "changes",
    [
        {"adaptations__ssl__backbones": ["e"]},
        {"finetunings__new": {"method": "svm", "backbones": ["joint"]}},
        {"finetunings__new": {"method": "svm", "tasks": ["u"]}},
    ],
)
def test_no_proposal_widens_what_a_list_limits(changes: dict[str, Any]) -> None:
    """Symptom: `# remove adaptations.ssl.backbones`, after which Stage 1 would adapt every backbone."""
    (fix,) = find_problem(study(**changes)).fixes
    assert isinstance(fix, Change) and fix.value == ["NAME"]


def test_a_name_of_a_table_is_proposed_among_the_others() -> None:
    """Symptom: `tasks: [NAME]`, where the table shows two."""
    table = {
        "title": "T",
        "metric": "macro_f1",
        "parts": [{"models": ["w.original"]}],
        "rows": ["model"],
        "columns": ["task"],
    }
    problem = find_problem(study(tables__b=table | {"tasks": ["t", "emotions"]}))
    assert problem.fixes == (Change("tables.b.tasks", ["t", "NAME"], "one of t, u"),)


def test_a_section_goes_only_where_none_of_its_names_fits() -> None:
    keys = ("backbones", "tasks")
    assert list(limit("f", keys, {("a", "t"): True, ("a", "u"): True})) == [Removal("f")]
    assert list(limit("f", keys, {("a", "t"): True, ("b", "t"): False})) == [Change("f.backbones", ["b"])]
    unfit = {("a", "t"): True, ("a", "u"): False, ("b", "t"): False, ("b", "u"): False}
    assert list(limit("f", keys, unfit)) == [Change("f.backbones", ["b"]), Change("f.tasks", ["u"])]


def test_the_last_name_of_a_limit_is_replaced_and_of_a_wish_removed() -> None:
    assert leave_out("k", ["a", "b"], "a") == take_out("k", ["a", "b"], "a") == Change("k", ["b"])
    assert leave_out("k", ["a"], "a") == Change("k", ["NAME"]) and take_out("k", ["a"], "a") == Removal("k")


ODD = ["*", "{0, 1}", "&a", "@x", "- a", "very happy, sad", True, None, 3, float("nan"), [], {}, [[]], {"a": None}]
"""Values that hardly any key takes; some are no YAML by themselves."""


def list_places(values: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items() if isinstance(values, dict) else ():
        yield (*above, key)
        yield from list_places(value, (*above, key))


def test_whatever_stands_at_a_key_is_explained_with_yaml_that_can_be_read() -> None:
    """Symptoms: a traceback for `backbones: "*"`; a hint with the key `tuple[constrained-str, ...]`."""
    probe = {
        "method": "probe",
        "backbones": ["w"],
        "layer": "last",
        "learning_rate": [0.1],
        "starts": None,
        "tasks": None,
        "subsets": None,
    }
    task = {"test_also": [], "subsets": [12, "full"], "class_map": {}, "leaks": {}, "partitions": 1}
    values = study(
        finetunings__probe=probe, tasks__v=CLASSES | task, features={"also": ["egemaps"]}, backbones__w__pooling="mean", logs=[]
    )  # fmt: skip
    load_study(copy.deepcopy(values))
    refused = 0
    for place in list_places(values):
        for odd in ODD:
            try:
                load_study(apply(values, Change(".".join(place), odd)))
            except ConfigError as error:
                refused += 1
                for problem in error.problems:
                    found = [yaml.safe_load(block) for block in write_hint(problem, {}).split("\n# or\n")]
                    assert all(block is None or isinstance(block, dict) for block in found)
                    assert "[" not in str(problem).partition(": ")[0], problem
    assert refused > 500


@pytest.mark.parametrize(
    ("place", "value", "right"),
    [
        ("tasks.t.classes", "very happy, sad", ["very happy", "sad"]),
        ("tasks.t.classes", "x y", ["x", "y"]),
        ("finetunings.default.backbones", "*", ["*"]),
        ("finetunings.default.batch_seconds", True, "VALUE"),
        ("finetunings.default.learning_rate", "nan", "VALUE"),
        ("finetunings.default.seeds", None, ["VALUE"]),
    ],
)
def test_a_value_of_another_type_is_read_as_it_was_meant(place: str, value: Any, right: Any) -> None:
    """Symptom: `batch_seconds: true`, so that it was to be `1.0`."""
    assert find_problem(apply(study(), Change(place, value))).fixes[0] == Change(place, right)
