"""From YAML files to a checked study, and from a problem to a sentence."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from emoadapt.config.availability import leave_out
from emoadapt.config.base import list_models
from emoadapt.config.study import Study
from emoadapt.config.tables import check_tables
from emoadapt.errors import ConfigError


def load_study(values: dict[str, Any]) -> Study:
    """Check a configuration, without what needs optional corpora that are not there.

    Raises:
        ConfigError: one line per problem: key path, what was found, what is allowed.
    """
    values, left_out = leave_out(values)
    try:
        # As JSON, so that strict types still take a YAML list for a tuple; nothing is converted ("4" is no integer).
        study = Study.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise _unusable(_describe(error.errors())) from None
    study._left_out = left_out
    if lines := check_tables(study):
        raise _unusable(lines)
    return study


def _unusable(lines: Sequence[str]) -> ConfigError:
    return ConfigError("the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines))


def read_configfiles(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read YAML files and merge them key by key, later over earlier, as `snakemake --configfile` does.

    Raises:
        ConfigError: a file is missing, is no YAML, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            values = yaml.safe_load(Path(path).read_text())
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}); name an existing configuration file"
            ) from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path} holds {type(values).__name__}, a configuration is a mapping of keys to values")
        _merge(merged, values)
    return merged


def read_study(paths: Sequence[str | Path]) -> Study:
    """Read a study as the Snakefile does: files without the key `study` override those of `config.yaml`.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    values = read_configfiles(paths)
    return load_study(values if "study" in values else read_configfiles(["config.yaml", *paths]))


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


Location = tuple[int | str, ...]


def _describe(problems: Sequence[Any]) -> list[str]:
    """Pydantic's problems as sentences of ours."""
    return list(dict.fromkeys(line for problem in _choose_alternatives(problems) for line in _sentences(problem)))


def _is_alternative(part: int | str) -> bool:
    """Whether a part of a location is the name that pydantic gives to an alternative of a union, and no key."""
    text = str(part)
    return text.startswith(("literal[", "constrained-", "function-after[")) or text.endswith(
        ("Network", "BestOf", "EachOf")
    )


def _choose_alternatives(problems: Sequence[Any]) -> list[Any]:
    """Of the alternatives of a union, all of which pydantic tells to have failed, those that fit what was found best."""
    counts: Counter[Location] = Counter()
    places: list[Location] = []
    for problem in problems:
        depth = next((n for n, part in enumerate(problem["loc"], 1) if _is_alternative(part)), 0)
        places.append(problem["loc"][:depth])
        # A mapping is asked for where something else was found: an alternative that was not meant.
        counts[places[-1]] += 1000 if problem["type"] in ("model_type", "model_attributes_type") else 1
    fewest = {place[:-1]: min(n for p, n in counts.items() if p[:-1] == place[:-1]) for place in places if place}
    return [
        problem
        for problem, place in zip(problems, places, strict=True)
        if not place or counts[place] == fewest[place[:-1]]
    ]


def _key_path(location: Location) -> list[str]:
    """The keys of a YAML file, without the names pydantic inserts for the alternatives of a union."""
    parts = [str(part) for part in location]
    for depth, section in ((2, "corpora"), (3, "split")):
        if len(parts) > depth and section in parts[:depth]:
            del parts[depth]
    return [part for part in parts if not _is_alternative(part)]


ALLOWED = {
    "tuple_type": "a list, such as [a, b]",
    "list_type": "a list, such as [a, b]",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
"""What pydantic says in the terms of JSON."""


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
    if kind == "float_type" and (number := _read_number(found)):
        allowed += f"; YAML reads this as text, write {number}"
    return [f"{path}: {shown}, allowed is {allowed}"]


QUOTE = "'"


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
