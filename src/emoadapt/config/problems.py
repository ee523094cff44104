"""Messages for the errors that pydantic finds in a configuration."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from emoadapt.config.base import MANY, NAME_PATTERN, ONE, list_models
from emoadapt.config.study import Study

Location = tuple[int | str, ...]


QUOTES = "'()"
"""What pydantic writes around a key that decides between sections, or behind a function that finds it."""
KEY = "[key]"
"""Part that pydantic puts at the end of a location for the key of a mapping, not its value."""
NO_MAPPING = ("model_type", "model_attributes_type")
LISTS = ("tuple_type", "list_type")
ALLOWED = {
    "string_type": "text",
    "dict_type": "a mapping of names to values",
    **dict.fromkeys(NO_MAPPING, "a mapping of keys to values"),
}
"""What pydantic says in the terms of JSON."""


def describe_problems(problems: Sequence[Any]) -> list[str]:
    """Describe pydantic's errors: key path, found value, allowed values."""
    plain = [
        problem | {"loc": tuple(part for part in problem["loc"] if part not in (ONE, MANY))} for problem in problems
    ]
    return list(dict.fromkeys(line for problem in _choose_alternatives(plain) for line in _sentences(problem)))


def _is_alternative(part: int | str) -> bool:
    """Whether a part of a location is the name that pydantic gives to an alternative of a union, and no key."""
    text = str(part)
    return text.startswith(("literal[", "constrained-", "function-after[")) or text.endswith(
        ("Network", "BestOf", "EachOf")
    )


def _choose_alternatives(problems: Sequence[Any]) -> list[Any]:
    """Choose the alternatives of a failed union that fit the found value best."""
    failed: dict[Location, list[Any]] = {}
    for problem in problems:
        depth = next((n for n, part in enumerate(problem["loc"], 1) if _is_alternative(part)), 0)
        failed.setdefault(problem["loc"][:depth], []).append(problem)

    def misfit(found: Sequence[Any]) -> tuple[bool, int, int]:
        # A mapping, or another type, was asked for than was found: an alternative that was not meant.
        return any(problem["type"] in NO_MAPPING for problem in found), max(map(_rank_type, found)), len(found)

    best: dict[Location, tuple[bool, int, int]] = {}
    for place, found in failed.items():
        best[place[:-1]] = min(best.get(place[:-1], misfit(found)), misfit(found))
    numbers = {
        place[:-1] for place in failed if place and str(place[-1]).startswith(("constrained-int", "constrained-float"))
    }
    return [
        {**problem, "or_number": place[:-1] in numbers}
        for place, found in failed.items()
        if not place or misfit(found) == best[place[:-1]]
        for problem in found
    ]


def _rank_type(problem: Any) -> int:
    """0 if another value of the same type would do; more where even the type is wrong."""
    if problem["type"] == "literal_error":
        return 0 if isinstance(problem["input"], str) else 2
    return int(problem["type"].endswith("_type"))


def _key_path(location: Location) -> list[str]:
    """The keys of a YAML file, without the names pydantic inserts for the alternatives of a union."""
    parts = [str(part) for part in location]
    if len(parts) > 3 and parts[2] == "split":
        del parts[3]
    field = Study.model_fields.get(parts[0]) if len(parts) > 2 else None
    if field is not None and typing.get_origin(field.annotation) is dict and len(list_models(field.annotation)) > 1:
        del parts[2]
    return [part for part in parts if part != KEY and not _is_alternative(part)]


def _sentences(problem: Any) -> list[str]:
    """One pydantic problem as sentences of ours."""
    path = ".".join(_key_path(problem["loc"]))
    found, kind, context = problem.get("input"), problem["type"], problem.get("ctx", {})
    shown = "found a mapping" if isinstance(found, dict) else f"found {found!r}"
    match kind:
        case "extra_forbidden":
            return [f"{path}: this key is not known; {_advise_key(problem['loc'])}"]
        case "literal_error" if problem["loc"][-1] == KEY:
            near = difflib.get_close_matches(str(found), re.findall(r"'(\w+)'", context["expected"]), n=1)
            advice = f"did you mean `{near[0]}`? Allowed" if near else "allowed"
            return [f"{path}: this key is not known; {advice} is {context['expected']}"]
        case "missing":
            return [f"{path}: this key is required"]
        case "union_tag_not_found":
            return [f"{path}.{context['discriminator'].strip(QUOTES)}: this key is required; see docs/configuration.md"]
        case "union_tag_invalid":
            key, allowed = context["discriminator"].strip(QUOTES), context["expected_tags"]
            return [f"{path}.{key}: found {context['tag']!r}, allowed is {allowed}"]
        case "value_error":
            return [line if not path else f"{path}: {line}" for line in str(context["error"]).splitlines()]
    allowed = ALLOWED.get(kind) or problem["msg"].removeprefix("Input should be ")
    if kind == "literal_error" and problem["or_number"]:
        allowed += " or a number"
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        allowed = "letters, digits and underscores, a letter first"
    if kind in LISTS:
        allowed = f"a list, such as {_write_list(found)}"
    if kind == "string_type" and found is not None and not isinstance(found, (dict, list)):
        allowed += _advise_quotes(found)
    if kind == "float_type" and (number := _read_number(found)):
        allowed += f"; YAML reads this as text, write {number}"
    return [f"{path}: {shown}, allowed is {allowed}"]


def _write_list(found: Any) -> str:
    """The value found, as a YAML list; a text is divided at its commas."""
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
    """The value found, as YAML writes a number (`1.0e-05`), if it was meant as one."""
    try:
        return yaml.safe_dump(float(found)).splitlines()[0]
    except (TypeError, ValueError):
        return None


def _advise_key(location: Location) -> str:
    """Suggest a meaning of an unknown key."""
    key = str(location[-1])
    sections, siblings = _find_sections(location)
    if len(sections) == 1:
        tag, own = _tag(sections[0])
        known_by = [values for name, values in map(_tag, _with_key(siblings, key)) if name == tag != ""]
        if knowing := list(dict.fromkeys(value for values in known_by for value in values)):
            return f"`{key}` is a key of {_TAGS[tag]} {', '.join(knowing)}; {', '.join(own)} has none"
    known = {name for section in sections for name in section.model_fields}
    if near := difflib.get_close_matches(key, known, n=1):
        return f"did you mean `{near[0]}`?"
    if places := list(dict.fromkeys(_find_places(key, Study, ""))):
        return f"it is a key of {' and of '.join(places[:3])}"
    return "see docs/configuration.md"


_TAGS = {
    "importer": "importer",
    "by": "a split by",
    "method": "method",
    "architecture": "architecture",
    "chain": "chain",
}
"""Keys that decide which section a mapping is -> how messages name them."""


def _tag(section: type[BaseModel]) -> tuple[str, tuple[str, ...]]:
    """The key that makes a mapping this section, and its values; empty without any."""
    for name in _TAGS:
        if name in section.model_fields and (values := get_args(section.model_fields[name].annotation)):
            return name, tuple(map(str, values))
    return "", ()


def _with_key(sections: Sequence[type[BaseModel]], key: str) -> list[type[BaseModel]]:
    return [section for section in sections if key in section.model_fields]


def _find_sections(location: Location) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """Sections that a place of a configuration may be in, and these with those that stand there by another importer or split."""
    siblings: list[type[BaseModel]] = [Study]
    sections = siblings
    for part in location[:-1]:
        inner = [
            model
            for section in sections
            if part in section.model_fields
            for model in list_models(section.model_fields[str(part)].annotation)
        ]
        if inner:
            sections = siblings = inner
        else:  # a name, a number or an alternative, and no key
            sections = list(dict.fromkeys(s for s in siblings if part in _tag(s)[1])) or sections
    return sections, siblings


def _find_places(key: str, section: type[BaseModel], path: str) -> Iterator[str]:
    """Paths of all sections below one that know a key."""
    if key in section.model_fields:
        yield path or "the top level"
    for name, field in section.model_fields.items():
        named = ".<name>" if "dict[" in str(field.annotation) else ""
        for inner in list_models(field.annotation):
            yield from _find_places(key, inner, f"{path}.{name}{named}".lstrip("."))
