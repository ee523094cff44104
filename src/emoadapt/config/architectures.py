"""Configuration of backbones: the sections of all families, selected by `architecture`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from emoadapt.errors import ConfigError
from emoadapt.plugins import list_plugins, load_plugin, read_declaration

if TYPE_CHECKING:
    from emoadapt.config.backbones import Backbone


def list_architectures() -> dict[str, str]:
    """Architecture -> plug-in whose it is, read without importing any; a plug-in that names none has its own name.

    Raises:
        ConfigError: two plug-ins name the same one.
    """
    found: dict[str, str] = {}
    for name in list_plugins("backbones"):
        for architecture in read_declaration("backbones", name, "ARCHITECTURES") or (name,):
            if other := found.get(architecture):
                raise ConfigError(
                    f"backbone architecture {architecture} is named by two plug-ins, {other} and {name}; rename that of your own"
                )
            found[architecture] = name
    return found


def join_backbones() -> Any:
    """Union of the sections of all architectures.

    Raises:
        ConfigError: a family does not declare its section.
    """
    families = {architecture: load_plugin("backbones", name) for architecture, name in list_architectures().items()}
    for module in families.values():
        if not hasattr(module, "Config"):
            raise ConfigError(
                f"backbone architecture: {module.__file__} does not declare Config; see docs/add-a-backbone.md"
            )
    sections = [Annotated[module.Config, Tag(architecture)] for architecture, module in families.items()]

    def architecture(value: Any) -> Any:
        return value.get("architecture") if isinstance(value, dict) else getattr(value, "architecture", None)

    return Annotated[reduce(or_, sections), Discriminator(architecture)]


if TYPE_CHECKING:
    AnyBackbone = Backbone
else:
    AnyBackbone = join_backbones()
