"""Configuration of trainings: the sections of all methods, selected by `method`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from emoadapt.plugins import list_plugins, load_plugin, read_declaration


def join_methods(scope: str, usual: str) -> Any:
    """Union of the sections of the methods of a scope; without a key `method`, the usual one is meant."""
    names = [name for name in list_plugins("methods") if read_declaration("methods", name, "SCOPE") == scope]
    sections = [Annotated[load_plugin("methods", name).Config, Tag(name)] for name in names]

    def method(value: Any) -> Any:
        return value.get("method", usual) if isinstance(value, dict) else getattr(value, "method", usual)

    return Annotated[reduce(or_, sections), Discriminator(method)] if len(sections) > 1 else sections[0]


if TYPE_CHECKING:
    AnyAdaptation = Any
    AnyFinetuning = Any
else:
    AnyAdaptation = join_methods("study", "adapt")
    AnyFinetuning = join_methods("run", "finetune")
