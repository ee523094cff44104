"""Configuration of corpora: the sections of all importers, selected by `importer`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from emoadapt.errors import ConfigError
from emoadapt.plugins import list_plugins, load_plugin

DECLARED = ("Config", "TERMS", "LABELS", "SPEAKERS_OF")
"""What every importer says about itself (see `emoadapt.corpora.base`): nothing is assumed of a corpus."""


def join_importers() -> Any:
    """Union of the sections of all importers that are found now, those of the study's own plug-ins too.

    Raises:
        ConfigError: an importer does not declare what it must.
    """
    importers = {name: load_plugin("corpora", name) for name in list_plugins("corpora")}
    for name, module in importers.items():
        if missing := [constant for constant in DECLARED if not hasattr(module, constant)]:
            raise ConfigError(
                f"corpus importer {name}: {module.__file__} does not declare {', '.join(missing)}; see docs/add-a-corpus.md"
            )
    return Annotated[reduce(or_, (module.Config for module in importers.values())), Field(discriminator="importer")]


if TYPE_CHECKING:
    AnyCorpus = Any
else:
    AnyCorpus = join_importers()
