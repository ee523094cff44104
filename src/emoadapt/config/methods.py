"""Configuration of trainings: the sections of all methods, selected by `method`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from emoadapt.config.augmenting import extend_section
from emoadapt.errors import ConfigError
from emoadapt.plugins import list_plugins, load_plugin, read_declaration

SCOPES = ("study", "run")
REQUIRED = ("Config", "train")


def join_methods(scope: str, usual: str) -> Any:
    """Union of the sections of the methods of a scope; without a key `method`, the usual one is meant.

    Raises:
        ConfigError: a method does not declare what it must.
    """
    scopes = {name: read_declaration("methods", name, "SCOPE") for name in list_plugins("methods")}
    for name, found in scopes.items():
        if found not in SCOPES:
            known = " or ".join(map(repr, SCOPES))
            raise ConfigError(
                f"training method {name}: SCOPE must be {known}, written as a literal; see docs/add-a-method.md"
            )
    modules = {name: load_plugin("methods", name) for name, found in scopes.items() if found == scope}
    for name, module in modules.items():
        if lacking := [item for item in REQUIRED if not hasattr(module, item)]:
            raise ConfigError(
                f"training method {name} does not declare {', '.join(lacking)} ({module.__file__}); see docs/add-a-method.md"
            )
    sections = [Annotated[extend_section(module.Config), Tag(name)] for name, module in modules.items()]

    def method(value: Any) -> Any:
        return value.get("method", usual) if isinstance(value, dict) else getattr(value, "method", usual)

    return Annotated[reduce(or_, sections), Discriminator(method)] if len(sections) > 1 else sections[0]


if TYPE_CHECKING:
    AnyAdaptation = Any
    AnyFinetuning = Any
else:
    AnyAdaptation = join_methods("study", "adapt")
    AnyFinetuning = join_methods("run", "finetune")
