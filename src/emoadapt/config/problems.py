"""Messages for the errors that pydantic finds in a configuration."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from emoadapt.config.base import MANY, NAME_PATTERN, ONE, list_models
from emoadapt.config.study import Study
from emoadapt.errors import Change, Problem, Problems, Removal, find_near, write_value
from emoadapt.fixes import rename

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
TRUTH = 'YAML reads yes, no, on, off, true and false without quotes as truth values: quote the word, as in "yes"'
TOP = "the top level"


def describe_problems(problems: Sequence[Any]) -> list[Problem]:
    """Describe pydantic's errors: key path, found value, allowed values, and the values that would do."""
    plain = [
        problem | {"loc": tuple(part for part in problem["loc"] if part not in (ONE, MANY))} for problem in problems
    ]
    found = [line for problem in _choose_alternatives(plain) for line in _explain(problem)]
    return list(dict.fromkeys(found))


def _is_alternative(part: int | str) -> bool:
    """Whether a part of a location is the name that pydantic gives to an alternative of a union, and no key."""
    text = str(part)
    return text.startswith(("literal[", "constrained-", "function-after[", "dict[", "tuple[")) or text.endswith(
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


def _explain(problem: Any) -> list[Problem]:
    """One pydantic problem as problems of ours."""
    path = ".".join(_key_path(problem["loc"]))
    found, kind, context = problem.get("input"), problem["type"], problem.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return [_explain_key(path, problem["loc"], found)]
        case "literal_error" if problem["loc"][-1] == KEY:
            return [Problem(path, f"this key is not known{_name_allowed(str(found), context['expected'])}")]
        case "missing":
            return [Problem(path, "this key is required", Change(path, why="see docs/configuration.md"))]
        case "union_tag_not_found":
            path = f"{path}.{context['discriminator'].strip(QUOTES)}"
            return [Problem(path, "this key is required; see docs/configuration.md")]
        case "union_tag_invalid":
            path, tag = f"{path}.{context['discriminator'].strip(QUOTES)}", context["tag"]
            said = f"found {tag!r}{_name_allowed(tag, context['expected_tags'])}"
            return [Problem(path, said, rename(path, tag, tag, _list_names(context["expected_tags"])))]
        case "value_error":
            error = context["error"]
            if isinstance(error, Problems):
                return [inner.below(path) for inner in error.problems]
            return [Problem(path, line) for line in str(error).splitlines()]
    return [_explain_value(path, found, problem, context)]


def _explain_value(path: str, found: Any, problem: Any, context: Mapping[str, Any]) -> Problem:
    """A value of another type, or one that is not among those allowed."""
    kind, shown = problem["type"], "found a mapping" if isinstance(found, dict) else f"found {found!r}"
    allowed = ALLOWED.get(kind) or problem["msg"].removeprefix("Input should be ")
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        allowed = "letters, digits and underscores, a letter first"
    if kind == "literal_error":
        said = shown + _name_allowed(str(found), context["expected"]) + (" or a number" if problem["or_number"] else "")
        names = _list_names(context["expected"])
        return Problem(path, said, *([rename(path, str(found), str(found), names)] if names else []))
    if kind in LISTS:
        right = _divide(found)
        said = f"{shown}, allowed is a list, such as {write_value(right or ['a', 'b'])}"
        return Problem(path, said, Change(path, right or ["VALUE"]))
    if kind == "string_type" and isinstance(found, bool):
        return Problem(path, f"{shown}, allowed is {allowed}; {TRUTH}")
    if kind == "string_type" and found is not None and not isinstance(found, (dict, list)):
        allowed += f'; YAML reads this as a number: quote it, "{found}"'
        return Problem(path, f"{shown}, allowed is {allowed}", Change(path, str(found)))
    if kind == "float_type" and (number := _read_number(found)) is not None:
        allowed += f"; YAML reads this as text, write {write_value(number)}"
        return Problem(path, f"{shown}, allowed is {allowed}", Change(path, number))
    return Problem(path, f"{shown}, allowed is {allowed}")


def _list_names(expected: str) -> list[str]:
    """The names in pydantic's list of what it expects: `'a', 'b' or 'c'`."""
    return re.findall(r"'([^']*)'", expected)


def _name_allowed(found: str, expected: str) -> str:
    """End of a sentence on a name that is not among those expected."""
    near = find_near(found, _list_names(expected))
    return f"; did you mean {near}? Allowed is {expected}" if near else f", allowed is {expected}"


def _divide(found: Any) -> list[Any]:
    """The value found, as a list: a text is divided at its commas, or at its spaces if it has none; empty if it holds no value."""
    if found is None or isinstance(found, dict):
        return []
    if not isinstance(found, str):
        return [found]
    parts = re.split(r"[,;]" if re.search(r"[,;]", found) else r"\s+", found.strip("()[]{} "))
    return [_read_plain(part.strip()) for part in parts if part.strip()]


def _read_plain(part: str) -> Any:
    """A text as YAML reads it, if it is a number."""
    try:
        read = yaml.safe_load(part)
    except yaml.YAMLError:
        return part
    return read if isinstance(read, (int, float)) and not isinstance(read, bool) else part


def _read_number(found: Any) -> float | None:
    """The value found, if it is text that was meant as a number."""
    try:
        number = float(found) if isinstance(found, str) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _explain_key(path: str, location: Location, value: Any) -> Problem:
    """An unknown key, and what is probably meant by it."""
    key, above = str(location[-1]), path.rpartition(".")[0]
    sections, siblings = _find_sections(location)
    said = "this key is not known; "
    if len(sections) == 1:
        tag, own = _tag(sections[0])
        known_by = [values for name, values in map(_tag, _with_key(siblings, key)) if name == tag != ""]
        if knowing := list(dict.fromkeys(value for values in known_by for value in values)):
            said += f"`{key}` is a key of {_TAGS[tag]} {', '.join(knowing)}; {', '.join(own)} has none"
            return Problem(path, said, Removal(path), Change(f"{above}.{tag}", knowing[0]))
    known = {name for section in sections for name in section.model_fields}
    if near := find_near(key, known):
        right = Change(f"{above}.{near}".lstrip("."), value, f"instead of {key}")
        return Problem(path, f"{said}did you mean `{near}`?", right)
    if places := list(dict.fromkeys(_find_places(key, Study, ""))):
        said += f"it is a key of {' and of '.join(places[:3])}"
        moves = (
            Change(f"{place.replace('<name>', 'NAME')}.{key}", value, f"instead of {path}")
            for place in places[:3]
            if place != TOP
        )
        return Problem(path, said, *moves)
    return Problem(path, f"{said}see docs/configuration.md", Removal(path))


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
        yield path or TOP
    for name, field in section.model_fields.items():
        named = ".<name>" if "dict[" in str(field.annotation) else ""
        for inner in list_models(field.annotation):
            yield from _find_places(key, inner, f"{path}.{name}{named}".lstrip("."))
