"""What an objective's target is, read from its module's syntax tree: the Snakefile must not import torch."""

from __future__ import annotations

from emoadapt.flow.code import module_constant


def describe_target(objective: str) -> tuple[str, str]:
    """Feature and column of an objective's target: the literals `FEATURE` and `COLUMN` of its module."""
    module = f"emoadapt.objectives.{objective}"
    return module_constant(module, "FEATURE"), module_constant(module, "COLUMN")
