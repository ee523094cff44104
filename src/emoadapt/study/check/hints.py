"""YAML lines that fix each problem of a check (`emoadapt check --fix-hints`).

They follow from the sentence of the problem and from the present values of the study. If there are several ways to fix a problem, each is a
block of its own. Words in capitals are for the user to replace.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from emoadapt.config.reading import merge_study
from emoadapt.errors import ConfigError, EmoadaptError

SECTIONS = "corpora|features|backbones|adaptations|finetunings|tasks|report|tables"
_PATH = rf"(?:{SECTIONS})(?:\.\w+)+"
_WORDS = r"\{[^{}]*\}|\[[^\]]*\]|[A-Za-z_]+\b(?!\.)|\d+(?:\.\d+)?"
"""Pattern of the value behind a key in a sentence: a mapping, a list, a word or a number."""
Line = tuple[str, Any, str]
"""Key path with dots, value, and a comment."""


def explain_fixes(error: EmoadaptError, configfiles: Sequence[Path]) -> str:
    """Write the lines that fix the problems of an error.

    Args:
        error: of a check, or of reading a configuration.
        configfiles: the study's.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
    try:
        values = merge_study(configfiles)
    except ConfigError:
        values = {}
    return write_hints(lines or [str(error)], values)


def write_hints(problems: Sequence[str], values: Mapping[str, Any]) -> str:
    """Write the lines that fix each problem.

    Args:
        problems: sentences of a check.
        values: the study, as its files say it.
    """
    return "\n\n".join(_write_hint(problem, values) for problem in dict.fromkeys(problems))


def find_hints(problem: str, values: Mapping[str, Any]) -> list[Line]:
    """Ways to fix a problem, the best first; empty if no key does."""
    for pattern, fix in _RULES:
        if (found := re.search(pattern, problem)) and (lines := list(fix(found, values))):
            return lines
    return []


def _write_hint(problem: str, values: Mapping[str, Any]) -> str:
    head = f"# {problem}"
    lines = find_hints(problem, values)
    if command := re.search(r"`(emoadapt models fetch[^`]*)`", problem):
        return f"{head}\n# no key, but a command: {command[1]}"
    if not lines:
        return f"{head}\n# no key of the study fixes this"
    return "\n".join([head, "\n# or\n".join(_write_line(*line) for line in lines)])


def _write_line(path: str, value: Any, comment: str) -> str:
    *above, last = path.split(".")
    rows = [f"{'  ' * depth}{key}:" for depth, key in enumerate(above)]
    return "\n".join(
        [*rows, f"{'  ' * len(above)}{last}: {_write_value(value)}" + (f"   # {comment}" if comment else "")]
    )


def _write_value(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _get(values: Mapping[str, Any], path: str) -> Any:
    """Value of the study at a key path; None if there is none."""
    found: Any = values
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def _say_now(values: Mapping[str, Any], path: str) -> str:
    now = _get(values, path)
    return "" if now is None else f"now {json.dumps(now, ensure_ascii=False, default=str)}"


# --- rules


def _name_study(_: re.Match[str], __: Mapping[str, Any]) -> Iterator[Line]:
    yield "study", "NAME", "at the top level"


def _write_as_told(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    yield found[1], yaml.safe_load(found[2]), _say_now(values, found[1])


def _rename_key(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    above = found[1] or ""
    yield f"{above}{found[3]}", _get(values, f"{above}{found[2]}"), f"instead of {found[2]}"


def _move_key(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    """The same key in the section that has it, of the first name in it."""
    section, name = found[3].removesuffix(".<name>"), "NAME"
    if found[3].endswith(".<name>"):
        name = next(iter(_get(values, section) or {}), "default" if section == "finetunings" else "NAME")
        section = f"{section}.{name}"
    yield f"{section}.{found[2]}", _get(values, f"{found[1]}{found[2]}"), f"not {found[1]}{found[2]}"


def _require(found: re.Match[str], _: Mapping[str, Any]) -> Iterator[Line]:
    yield found[1], "VALUE", "see docs/configuration.md"


def _name_known(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    """The nearest of the names that there are, in the place of one that is not defined."""
    path, wrong, known = found[1], found[2], found[3].split(", ")
    near = (difflib.get_close_matches(wrong, known, n=1, cutoff=0.4) or known)[0]
    now = _get(values, path)
    if isinstance(now, Mapping):
        yield path, {near if key == wrong else key: value for key, value in now.items()}, _say_now(values, path)
    else:
        yield path, [near if v == wrong else v for v in now] if isinstance(now, list) else near, _say_now(values, path)


def _correct_column(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    wrong, known, path = found[1].split(", "), found[2].split(", "), found[3]
    columns = _get(values, path)
    if isinstance(columns, Mapping):
        near = {name: (difflib.get_close_matches(name, known, n=1) or ["COLUMN"])[0] for name in wrong}
        yield path, {key: near.get(name, name) for key, name in columns.items()}, f"the table has {found[2]}"


def _lower_subset(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    path, most = f"tasks.{found[1]}.subsets", int(found[3])
    sizes = _get(values, path) or []
    kept = [size if isinstance(size, str) else min(size, most) for size in sizes if isinstance(size, (str, int))]
    yield path, list(dict.fromkeys(kept)), _say_now(values, path)


def _drop_class(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    path, lost = f"tasks.{found[1]}.classes", found[2].split(", ")
    classes = _get(values, path) or []
    yield path, [name for name in classes if name not in lost], f"without {found[2]}; its clips: other_labels: drop"


def _choose_layer(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    path, wrong, most = found[1], int(found[2]), int(found[3])
    now = _get(values, path)
    yield path, [layer for layer in now if layer != wrong] if isinstance(now, list) else most, _say_now(values, path)


def _map_labels(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    """`class_map` with an entry for each label that is no class; or leave these clips out."""
    labels = re.findall(r"(?:^|, )(.+?) [\d,]+(?=,|$| and \d)", found[1])
    path = found[2]
    yield path, {**(_get(values, path) or {}), **dict.fromkeys(labels, "CLASS")}, "a class of the task for each label"
    yield path.replace(".class_map", ".other_labels"), "drop", "leave these clips out"


def _take_alternatives(found: re.Match[str], _: Mapping[str, Any]) -> Iterator[Line]:
    """Every key that the advice of a sentence gives a value."""
    for path, value in re.findall(rf"\b({_PATH}): ({_WORDS})", found[1]):
        yield path, yaml.safe_load(value), ""


def _fill_keys(found: re.Match[str], values: Mapping[str, Any]) -> Iterator[Line]:
    """Every key that a sentence names, without a value."""
    for path in dict.fromkeys(re.findall(rf"\b{_PATH}", found[0])):
        now = _get(values, path)
        if not isinstance(now, Mapping) or path.endswith((".columns", ".class_map", ".split")):
            yield path, "VALUE", _say_now(values, path)


_RULES: Sequence[tuple[str, Callable[[re.Match[str], Mapping[str, Any]], Iterator[Line]]]] = (
    (r"has no key `study`", _name_study),
    (r"^([\w.]+): found .*allowed is a list, such as (\[.*\])$", _write_as_told),
    (r"^([\w.]+): found .*; YAML reads this as text, write (\S+)$", _write_as_told),
    (r"^((?:\w+\.)*)(\w+): this key is not known; did you mean `(\w+)`\?", _rename_key),
    (
        r"^((?:\w+\.)*)(\w+): this key is not known; it is a key of ((?:\w+\.)*(?:\w+|<name>))(?: and of .*)?$",
        _move_key,
    ),
    (r"^([\w.]+): this key is required", _require),
    (r"^([\w.]+): (\S+) is not defined; there is (?!none)(.+)$", _name_known),
    (r"no column (.+?); there are (.+?); correct ([\w.]+)$", _correct_column),
    (r"task (\w+).*: a subset of (\d+) clips is larger than the (\d+) training clips", _lower_subset),
    (r"task (\w+).*: no training clip of class (.+?);", _drop_class),
    (r"that are none of its classes \(.*?\): (.*?); map them with (tasks\.\w+\.class_map)", _map_labels),
    (r"^([\w.]+\.layer): layer (\d+) is asked for, .* has layers 0 to (\d+);", _choose_layer),
    (r"^([\w.]+\.train_layers): .* set `all` or at most (\d+)$", _write_as_told),
    (r"device is (cuda), but", lambda *_: iter([("device", "auto", "or run on a machine with a GPU")])),
    (r"; ([^;]*(?:; [^;]*)?)$", _take_alternatives),
    (r".*", _fill_keys),
)
"""Pattern of a problem -> function that writes the lines; the first that writes any is used."""
