"""Target of an objective, read from its module's syntax tree.

The Snakefile must not import torch.
"""

from __future__ import annotations

from typing import Any

from emoadapt.plugins import read_declaration

NO_TARGET = "no-target"
"""Name of the set of no objectives with a target; no module can have it."""


def split_set(objectives: str) -> list[str]:
    """Names in a set of objectives, `<name>+<name>` or `NO_TARGET`."""
    return [] if objectives == NO_TARGET else objectives.split("+")


def has_frames(objective: str) -> bool:
    """Whether its target is frames, which no training shard holds: they are read from the feature's own table."""
    return read_declaration("objectives", objective, "LAYOUT") == "frames"


def describe_target(objective: str) -> tuple[Any, Any]:
    """Feature and column of an objective's target: the literals `FEATURE` and `COLUMN` of its module; None without target."""
    return tuple(read_declaration("objectives", objective, name) for name in ("FEATURE", "COLUMN"))
