"""YAML lines that fix each problem of a check (`emoadapt check --fix-hints`).

A problem carries its fixes from where it is found. If there are several, each is a block of its own. Words in capitals are for the user to
replace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emoadapt.config.reading import merge_study
from emoadapt.errors import Change, Command, ConfigError, EmoadaptError, Fix, Problem, Removal, write_value

NO_LINES = "# there are no lines to propose: do what the sentence says"


def explain_fixes(error: EmoadaptError, configfiles: Sequence[Path]) -> str:
    """Write an error with the lines that fix each of its problems.

    Args:
        error: of a check, or of reading a configuration.
        configfiles: the study's.
    """
    try:
        values = merge_study(configfiles)
    except ConfigError:
        values = {}
    return "\n\n".join([*([error.head] if error.head else []), *(write_hint(each, values) for each in error.problems)])


def write_hint(problem: Problem, values: Mapping[str, Any]) -> str:
    """Write a problem as a comment, and each way to fix it.

    Args:
        problem: of a check.
        values: the study, as its files say it.
    """
    lines = list(dict.fromkeys(line for fix in problem.fixes for line in _write_fix(fix, values)))
    said = str(problem).replace("\n", "\n# ")
    return "\n".join([f"# {said}", "\n# or\n".join(lines) or NO_LINES])


def _write_fix(fix: Fix, values: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(fix, Command):
        yield f"# run: {fix.line}"
    elif not fix.key or any(part.isdigit() for part in fix.key.split(".")):
        return  # at no key, or within a list, which a mapping of keys cannot name
    elif isinstance(fix, Removal):
        now = _say_now(values, fix.key)
        yield f"# remove {fix.key}" + (f" ({now})" if now else "")
    elif not (fix == Change(fix.key) and isinstance(_get(values, fix.key), Mapping)):
        yield _write_line(fix, _say_now(values, fix.key))


def _write_line(change: Change, now: str) -> str:
    *above, last = change.key.split(".")
    rows = [f"{'  ' * depth}{key}:" for depth, key in enumerate(above)]
    said = "; ".join(filter(None, (change.why, now)))
    comment = f"   # {said}" if said else ""
    return "\n".join([*rows, f"{'  ' * len(above)}{last}: {write_value(change.value)}{comment}"])


def _say_now(values: Mapping[str, Any], path: str) -> str:
    now = _get(values, path)
    return "" if now is None or isinstance(now, Mapping) else f"now {write_value(now)}"


def _get(values: Mapping[str, Any], path: str) -> Any:
    """Value of the study at a key path; None if there is none."""
    found: Any = values
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found
