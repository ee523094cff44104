"""Reduction of a study when optional corpora are missing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from emoadapt.config.base import expand_variables
from emoadapt.errors import ConfigError
from emoadapt.plugins import list_plugins, load_plugin, read_declaration
from emoadapt.study.nodes import DEFAULT


def leave_out(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Take optional corpora whose root is missing out of a configuration, and all that needs them.

    An adaptation goes with any of its corpora: on the others alone it would be another adaptation. A task goes with the
    corpus it trains on, and with its target; a corpus that it only tests on goes alone.

    Args:
        values: the configuration, unchecked; what is malformed stays as it is, for the check to find.

    Returns:
        The configuration without them (`values` is not changed), and key path -> reason of each thing left out.

    Raises:
        ConfigError: all corpora are optional, and none is there.
    """
    corpora = _mapping(values, "corpora")
    absent = {name: why for name, corpus in corpora.items() if (why := _find_absence(corpus))}
    if not absent:
        return values, {}
    if len(absent) == len(corpora):
        raise ConfigError(
            "all corpora of the study are missing: " + "; ".join(f"{name}: {why}" for name, why in absent.items())
        )
    rest, left_out = copy.deepcopy(values), {f"corpora.{name}": why for name, why in absent.items()}
    for name in absent:
        del rest["corpora"][name]
    gone: dict[str, str] = {}
    lost: dict[str, str] = {}
    for name, task in list(_mapping(rest, "tasks").items()):
        if not isinstance(task, dict):
            continue
        if needed := [
            corpus for corpus in (task.get("corpus"), _mapping(task, "target").get("corpus")) if corpus in absent
        ]:
            gone[name] = left_out[f"tasks.{name}"] = f"needs corpus {', '.join(needed)}"
            del rest["tasks"][name]
        else:
            for corpus in _drop(task, "test_also", absent):
                left_out[f"tasks.{name}.test_also.{corpus}"] = f"needs corpus {corpus}"
    for name, adaptation in list(_mapping(rest, "adaptations").items()):
        if not isinstance(adaptation, dict):
            continue
        needed = [corpus for corpus in _list(adaptation, "corpora") if corpus in absent]
        reasons = [f"needs corpus {', '.join(needed)}"] if needed else []
        dropped = _drop(adaptation, "tasks", gone)
        if dropped and not adaptation["tasks"]:
            reasons.append(gone[dropped[0]])
        if reasons:
            left_out[f"adaptations.{name}"] = lost[name] = reasons[0]
            del rest["adaptations"][name]
    for name, finetuning in list(_mapping(rest, "finetunings").items()):
        if not isinstance(finetuning, dict):
            continue
        for key, absent_names in (("tasks", gone), ("starts", lost)):
            dropped = _drop(finetuning, key, absent_names)
            if dropped and not finetuning[key]:
                left_out[f"finetunings.{name}"] = absent_names[dropped[0]]
                rest["finetunings"].pop(name, None)
    _leave_out_downstream(rest, left_out)
    return rest, left_out


def _leave_out_downstream(rest: dict[str, Any], left_out: dict[str, str]) -> None:
    """Take out fine-tunings that need a model whose adaptation or fine-tuning is left out."""
    finetunings = _mapping(rest, "finetunings")
    before = -1
    while len(left_out) != before:
        before = len(left_out)
        for name, finetuning in list(finetunings.items()):
            for model in _list_upstream(finetuning):
                _, start, *kind = model.split(".")
                places = [f"adaptations.{start}", f"finetunings.{kind[0] if kind else DEFAULT}"]
                if name in finetunings and (lost := [place for place in places if place in left_out]):
                    left_out[f"finetunings.{name}"] = left_out[lost[0]]
                    del finetunings[name]


def _list_upstream(finetuning: Any) -> list[str]:
    """Names of models that a fine-tuning needs, as far as they can be read."""
    method = finetuning.get("method", "finetune") if isinstance(finetuning, dict) else None
    if method not in list_plugins("methods"):
        return []
    keys = load_plugin("methods", method).Config.upstream_keys
    values = [finetuning.get(key) for key in keys]
    names = [name for value in values for name in (value if isinstance(value, list) else [value])]
    return [name for name in names if isinstance(name, str) and "." in name]


def _find_absence(corpus: Any) -> str | None:
    """Why an optional corpus cannot be used; None where it can, or is not optional."""
    if not isinstance(corpus, dict) or corpus.get("optional") is not True or not isinstance(corpus.get("root"), str):
        return None
    if read_declaration("corpora", str(corpus.get("importer")), "GENERATED"):
        return None
    try:
        root = expand_variables(corpus["root"])
    except ValueError as error:
        return str(error)
    return None if Path(root).is_dir() else f"its root {root} is missing"


def _drop(section: dict[str, Any], key: str, names: Any) -> list[Any]:
    """Take names out of a list or mapping, and return those that were in it."""
    listed = section.get(key)
    if isinstance(listed, dict):
        return [value for value in names if listed.pop(value, None) is not None]
    found = [value for value in _list(section, key) if value in names]
    if found:
        section[key] = [value for value in section[key] if value not in found]
    return found


def _mapping(values: dict[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _list(values: dict[str, Any], key: str) -> list[Any]:
    found = values.get(key)
    return found if isinstance(found, list) else []
