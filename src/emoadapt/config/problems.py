"""From what pydantic finds wrong with a configuration to sentences."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from emoadapt.config.base import list_models
from emoadapt.config.study import Study

Location = tuple[int | str, ...]


QUOTE = "'"
NO_MAPPING = ("model_type", "model_attributes_type")
LISTS = ("tuple_type", "list_type")
ALLOWED = {
    "dict_type": "a mapping of names to values",
    **dict.fromkeys(NO_MAPPING, "a mapping of keys to values"),
}
"""What pydantic says in the terms of JSON."""


def describe_problems(problems: Sequence[Any]) -> list[str]:
    """What pydantic found wrong, as sentences: key path, what was found, what is allowed."""
    return list(dict.fromkeys(line for problem in _choose_alternatives(problems) for line in _sentences(problem)))


def _is_alternative(part: int | str) -> bool:
    """Whether a part of a location is the name that pydantic gives to an alternative of a union, and no key."""
    text = str(part)
    return text.startswith(("literal[", "constrained-", "function-after[")) or text.endswith(
        ("Network", "BestOf", "EachOf")
    )


def _choose_alternatives(problems: Sequence[Any]) -> list[Any]:
    """Of the alternatives of a union, all of which pydantic tells to have failed, those that fit what was found best."""
    failed: dict[Location, list[Any]] = {}
    for problem in problems:
        depth = next((n for n, part in enumerate(problem["loc"], 1) if _is_alternative(part)), 0)
        failed.setdefault(problem["loc"][:depth], []).append(problem)

    def misfit(found: Sequence[Any]) -> tuple[bool, int]:
        # A mapping was asked for where something else was found: an alternative that was not meant.
        return any(problem["type"] in NO_MAPPING for problem in found), len(found)

    best: dict[Location, tuple[bool, int]] = {}
    for place, found in failed.items():
        best[place[:-1]] = min(best.get(place[:-1], misfit(found)), misfit(found))
    return [
        problem
        for place, found in failed.items()
        if not place or misfit(found) == best[place[:-1]]
        for problem in found
    ]


def _key_path(location: Location) -> list[str]:
    """The keys of a YAML file, without the names pydantic inserts for the alternatives of a union."""
    parts = [str(part) for part in location]
    for depth, section in ((2, "corpora"), (3, "split")):
        if len(parts) > depth and section in parts[:depth]:
            del parts[depth]
    return [part for part in parts if not _is_alternative(part)]


def _sentences(problem: Any) -> list[str]:
    """One pydantic problem as sentences of ours."""
    path = ".".join(_key_path(problem["loc"]))
    found, kind, context = problem.get("input"), problem["type"], problem.get("ctx", {})
    shown = "found a mapping" if isinstance(found, dict) else f"found {found!r}"
    match kind:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(problem["loc"]), n=1)
            advice = f"did you mean `{near[0]}`?" if near else "see docs/configuration.md"
            return [f"{path}: this key is not known; {advice}"]
        case "missing":
            return [f"{path}: this key is required"]
        case "union_tag_not_found":
            return [f"{path}.{context['discriminator'].strip(QUOTE)}: this key is required; see docs/configuration.md"]
        case "union_tag_invalid":
            key, allowed = context["discriminator"].strip(QUOTE), context["expected_tags"]
            return [f"{path}.{key}: found {context['tag']!r}, allowed is {allowed}"]
        case "value_error":
            return [line if not path else f"{path}: {line}" for line in str(context["error"]).splitlines()]
    allowed = ALLOWED.get(kind) or problem["msg"].removeprefix("Input should be ")
    if kind in LISTS:
        allowed = f"a list, such as {_write_list(found)}"
    if kind == "string_type" and found is not None and not isinstance(found, (dict, list)):
        allowed += _advise_quotes(found)
    if kind == "float_type" and (number := _read_number(found)):
        allowed += f"; YAML reads this as text, write {number}"
    return [f"{path}: {shown}, allowed is {allowed}"]


def _write_list(found: Any) -> str:
    """What was found as a YAML list; a text is divided at its commas."""
    if found is None or isinstance(found, dict):
        return "[a, b]"
    values = (
        [part for part in re.split(r"[,;\s]+", found.strip("()[] ")) if part] if isinstance(found, str) else [found]
    )
    return f"[{', '.join(map(str, values))}]" if values else "[a, b]"


def _advise_quotes(found: Any) -> str:
    """How to write as text what YAML reads as something else."""
    if isinstance(found, bool):
        return (
            '; YAML reads yes, no, on, off, true and false without quotes as truth values: quote the word, as in "yes"'
        )
    return f'; YAML reads this as a number: quote it, "{found}"'


def _read_number(found: Any) -> str | None:
    """What was found as YAML writes a number (`1.0e-05`), if it was meant as one."""
    try:
        return yaml.safe_dump(float(found)).splitlines()[0]
    except (TypeError, ValueError):
        return None


def _known_keys(location: Location) -> set[str]:
    """Keys of the sections that a place of a configuration may be in."""
    sections: list[type[BaseModel]] = [Study]
    for part in location[:-1]:
        inner = [
            model
            for section in sections
            if part in section.model_fields
            for model in list_models(section.model_fields[str(part)].annotation)
        ]
        sections = inner or sections  # a name, a number or an alternative, and no key
    return {key for section in sections for key in section.model_fields}
