"""Stage-1 objectives, one module each.

A module here with a literal `FEATURE` is an objective: `FEATURE` names the feature it takes its target from (the
Snakefile reads it without importing the module), `COLUMN` the column of that feature's table, and `Objective` says how it is
trained. To add one, write such a module and name it in the configuration.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from emoadapt.errors import ConfigError

if TYPE_CHECKING:
    from emoadapt.objectives.base import Objective


def load_objective(name: str) -> Objective:
    """The objective of that name.

    Raises:
        ConfigError: there is no such module here.
    """
    try:
        module = importlib.import_module(f"emoadapt.objectives.{name}")
        return module.Objective()
    except (ModuleNotFoundError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"objective {name} cannot be used ({error}); write src/emoadapt/objectives/{name}.py"
        ) from error
