"""Configuration of backbones: the sections of all families, selected by `architecture`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from emoadapt.plugins import list_plugins, load_plugin, read_declaration

if TYPE_CHECKING:
    from emoadapt.config.backbones import Backbone


def list_architectures() -> dict[str, str]:
    """Architecture -> plug-in whose it is, read without importing any; a plug-in that names none has its own name."""
    return {
        architecture: name
        for name in list_plugins("backbones")
        for architecture in read_declaration("backbones", name, "ARCHITECTURES") or (name,)
    }


def join_backbones() -> Any:
    """Union of the sections of all architectures."""
    sections = [
        Annotated[load_plugin("backbones", name).Config, Tag(architecture)]
        for architecture, name in list_architectures().items()
    ]

    def architecture(value: Any) -> Any:
        return value.get("architecture") if isinstance(value, dict) else getattr(value, "architecture", None)

    return Annotated[reduce(or_, sections), Discriminator(architecture)]


if TYPE_CHECKING:
    AnyBackbone = Backbone
else:
    AnyBackbone = join_backbones()
