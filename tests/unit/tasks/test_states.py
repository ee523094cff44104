"""Staleness of a task's tables: which key, and which line of code, decides which of them."""

from __future__ import annotations

import ast

import pytest

from emoadapt.config import Task, load_study
from emoadapt.flow import code
from emoadapt.flow.claims import explain_change
from emoadapt.flow.code import code_digest, read_covered
from emoadapt.plugins import find_source
from emoadapt.study.graph import Graph
from emoadapt.study.origins import Origins
from emoadapt.tasks.states import describe_leaks, describe_splits

BASE = {"corpus": "c", "classes": ["x", "y"], "split": {"by": "fractions"}, "subsets": [8], "test_also": ["d"]}


def make_study(**changes):
    corpora = {name: {"importer": "csv", "root": name, "file": "a.csv"} for name in ("c", "d", "films")}
    return load_study(
        {
            "study": "s",
            "corpora": corpora,
            "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
            "adaptations": {"adapted": {"corpora": ["films"], "objectives": {"egemaps": 1.0}}},
            "tasks": {"t": BASE | changes},
        }
    )


def describe(**changes):
    """(first partition, subset 8, subset full, leaks) of a task."""
    study = make_study(**changes)
    task = study.tasks["t"]
    draws = task.describe_draws("8"), task.describe_draws("full")
    return describe_splits(study, "t", 0), *draws, describe_leaks(study, "t")


KEYS = {
    "corpus": ("films", "splits leaks"),
    "classes": (["x", "z"], "splits"),
    "attributes": (["valence"], "splits"),
    "class_map": ({"z": "x"}, "splits"),
    "other_labels": ("drop", "splits"),
    "missing_classes": ("report", "splits"),
    "split": ({"by": "fractions", "seed": 1}, "splits"),
    "partitions": (2, ""),
    "score": ("parents", "leaks"),
    "leaks": ({"speakers": "report"}, "leaks"),
    "subsets": ([8, 9], ""),
    "resamplings": (2, ""),
    "draws": ("nested", "subset"),
    "trials": ("paired", ""),
    "test_also": ([], "splits leaks"),
    "target": ({"corpus": "films"}, "splits leaks"),
}
"""Key of a task -> another value, and what it makes stale by itself. More partitions, subsets or draws are more runs."""


def test_every_key_of_a_task_is_looked_at():
    assert set(KEYS) == set(Task.model_fields)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_makes_stale_what_it_decides_and_nothing_else(key):
    value, stale = KEYS[key]
    changes = {key: value} | ({"classes": []} if key == "attributes" else {})
    pairs = zip(("splits", "subset", "full", "leaks"), describe(), describe(**changes), strict=True)
    assert " ".join(name for name, before, after in pairs if before != after) == stale


SPLITS = [
    {"by": "official"},
    {"by": "official", "train": ["a"]},
    {"by": "official", "dev": ["a"]},
    {"by": "official", "test": ["a"]},
    {"by": "official", "partitions": [{"dev": ["a"], "test": ["b"]}]},
    {"by": "official", "partitions": [{"train": ["c"], "dev": ["a"], "test": ["b"]}]},
    {"by": "speakers", "dev": ["a"], "test": ["b"]},
    {"by": "speakers", "dev": ["a"], "test": ["c"]},
    {"by": "speakers", "train": ["c"], "dev": ["a"], "test": ["b"]},
    {"by": "speakers", "partitions": [{"dev": ["a"], "test": ["b"]}]},
    {"by": "fractions"},
    {"by": "fractions", "train": 0.6, "test": 0.25},
    {"by": "fractions", "train": 0.6, "dev": 0.25},
    {"by": "fractions", "seed": 1},
    {"by": "folds"},
    {"by": "folds", "k": 4},
    {"by": "folds", "seed": 1},
    {"by": "leave_one_speaker_out"},
    {"by": "leave_one_part_out"},
    {"by": "all"},
    {"by": "all", "dev": 0.2},
    {"by": "all", "seed": 1},
]


def test_each_split_has_a_state_of_its_own():
    assert len({describe(split=split)[0] for split in SPLITS}) == len(SPLITS)


def test_a_table_counts_by_what_it_says(tmp_path):
    def state(text, name):
        (tmp_path / name).write_text(text)
        return describe(split={"by": "table", "file": str(tmp_path / name)})

    first = state("utterance_id,part\na,train\nb,dev\n", "one.csv")
    assert state("part,utterance_id\ndev,b\ntrain,a\n", "two.csv") == first
    changed = state("utterance_id,part\na,train\nb,test\n", "one.csv")
    assert changed[0] != first[0] and changed[1:] == first[1:]


def test_one_more_partition_leaves_the_others_as_they_are(tmp_path):
    """Symptom: a further partition divided all anew, and trained all again."""
    table = tmp_path / "one.csv"

    def states(split, number, **changes):
        study = make_study(split=split, partitions=number, **changes)
        return [describe_splits(study, "t", partition) for partition in range(number)]

    def write(number):
        rows = [
            f"{p},{u},{part}\n" for p in range(number) for u, part in (("a", "train"), (f"b{p}", "dev"), ("c", "test"))
        ]
        table.write_text("".join(["round,utterance_id,part\n", *rows]))
        return {"by": "table", "file": str(table), "columns": {"part": "part", "partition": "round"}}

    listed = [{"dev": ["a"], "test": [f"b{number}"]} for number in range(3)]
    assert states({"by": "fractions"}, 3)[:2] == states({"by": "fractions"}, 2)
    assert states({"by": "official", "partitions": listed}, 3)[:2] == states(
        {"by": "official", "partitions": listed[:2]}, 2
    )
    few = states(write(2), 2)
    assert states(write(3), 3)[:2] == few
    assert len({*few}) == 2


OTHER = KEYS | {key: (KEYS[key][0], "") for key in ("test_also", "missing_classes", "score", "leaks", "draws")}
OTHER["target"] = ({"corpus": "c"}, "")
"""As `KEYS`, of a task whose test part another one is tested on."""


@pytest.mark.parametrize("key", sorted(OTHER.keys() - {"corpus", "attributes"}))
def test_only_what_divides_the_tested_task_makes_splits_stale(key):
    """Symptom: one more test corpus of another task trained all anew."""
    value, stale = OTHER[key]

    def state(**changes):
        study = make_study()
        base = BASE | {"corpus": "d", "test_also": ["films"]}
        tasks = {
            "t": Task.model_validate(BASE | {"test_also": {"d": "test"}}),
            "other": Task.model_validate(base | changes),
        }
        return describe_splits(study.model_copy(update={"tasks": tasks}), "t", 0)

    assert (state() != state(**{key: value})) == bool(stale)


RULES = {
    "splits": ("tasks.splits", "listing.speakers", "tasks.split_tables", "tasks.classes", "tasks.divisions"),
    "subsets": ("tasks.subsets",),
    "leaks": ("tasks.leaks", "tasks.overlap", "tasks.contradictions", "tasks.divisions"),
}
"""Job -> modules that decide its table."""


@pytest.mark.parametrize(("job", "module"), [(job, module) for job, modules in RULES.items() for module in modules])
def test_a_changed_rule_makes_its_job_stale(job, module, tmp_path, monkeypatch):
    """Every function of the module is changed in turn."""
    name = f"emoadapt.{module}"
    source = find_source(name)
    before, text = code_digest(f"emoadapt.tasks.{job}"), source.read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert functions
    changed = tmp_path / source.name
    monkeypatch.setattr(code, "find_source", lambda found: changed if found == name else find_source(found))
    lines = text.splitlines(keepends=True)
    for function in functions:
        last = function.body[-1].lineno - 1
        indent = " " * function.body[-1].col_offset
        changed.write_text("".join([*lines[:last], f"{indent}changed = True\n", *lines[last:]]))
        assert code_digest.__wrapped__(f"emoadapt.tasks.{job}") != before, function.name


def test_no_job_of_a_task_is_stale_for_another():
    """A change of the leaks, or of notes for people, must not divide a corpus anew and train all again."""
    splits, subsets, leaks = (read_covered(f"emoadapt.tasks.{job}") for job in RULES)
    notes = {f"emoadapt.tasks.{name}" for name in ("notes", "folds", "states")}
    assert not {*notes, "emoadapt.tasks.leaks", "emoadapt.tasks.subsets", "emoadapt.tasks.overlap"} & set(splits)
    assert not {*notes, "emoadapt.tasks.leaks", "emoadapt.tasks.splits"} & set(subsets)
    assert not {*notes, "emoadapt.tasks.splits", "emoadapt.tasks.subsets"} & set(leaks)


def test_a_changed_split_names_the_key():
    """Symptom: `split changed`."""
    origins = [Origins(Graph(make_study(split={"by": "fractions"} | more))) for more in ({}, {"seed": 1})]
    before, now = (origin.split("t", "0").made for origin in origins)
    assert explain_change(before, now) == "tasks.t.split.seed: 0 -> 1"
    other = Origins(Graph(make_study(classes=["x", "z"]))).split("t", "0").made
    assert explain_change(before, other) == "tasks.t.classes: ['x', 'y'] -> ['x', 'z']"
