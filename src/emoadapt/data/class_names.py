"""Names of the tasks and classes of a Stage-1 target, for people.

A module of its own: no training depends on it.
"""

from __future__ import annotations

from emoadapt.plugins import read_declaration


def read_names(objective: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The literals `LEVELS` and `CLASSES` of an objective's module; empty where it has none."""
    levels, classes = (read_declaration("objectives", objective, name) or () for name in ("LEVELS", "CLASSES"))
    return tuple(levels), tuple(classes)


def name_task(objective: str, number: int) -> str:
    """Name a task of a target, counted from 0: by `LEVELS`, else by its number, counted from 1; empty if it is the only one."""
    levels, _ = read_names(objective)
    if number < len(levels):
        return levels[number]
    return str(number + 1) if levels or number else ""


def name_class(objective: str, number: int) -> str:
    """Name a class, counted from 0: by `CLASSES`, else by its number; a level is `above` its threshold or `not above`."""
    levels, classes = read_names(objective)
    if levels:
        return ("not above", "above")[number]
    return classes[number] if number < len(classes) else f"class {number}"
