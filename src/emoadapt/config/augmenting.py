"""Configuration of trainings that may augment clips: the sections of all augmentations, selected by `chain`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Discriminator, Tag, create_model

from emoadapt.config.augmentations import Augmentation
from emoadapt.config.training import Optimisation
from emoadapt.errors import ConfigError
from emoadapt.plugins import list_plugins, load_plugin


def join_augmentations() -> Any:
    """Union of the sections of all augmentations.

    Raises:
        ConfigError: a plug-in does not declare what it must.
    """
    modules = {name: load_plugin("augmentations", name) for name in list_plugins("augmentations")}
    for name, module in modules.items():
        if lacking := [item for item in ("Config", "build") if not hasattr(module, item)]:
            raise ConfigError(
                f"augmentation {name} does not declare {', '.join(lacking)} ({module.__file__}); see docs/add-an-augmentation.md"
            )
    sections = [Annotated[module.Config, Tag(name)] for name, module in modules.items()]

    def chain(value: Any) -> Any:
        return value.get("chain") if isinstance(value, dict) else getattr(value, "chain", None)

    return Annotated[reduce(or_, sections), Discriminator(chain)]


_BUILT_WITH = list_plugins("augmentations")
"""Augmentations that `AnyAugmentation` knows."""

if TYPE_CHECKING:
    AnyAugmentation = Augmentation
else:
    AnyAugmentation = join_augmentations()


class AugmentedOptimisation(Optimisation):
    """Optimisation of a network that may read audio."""

    augment: tuple[AnyAugmentation, ...] = ()
    """Augmentations of a clip's waveform in training, one after the other, drawn from seed, epoch and clip. Evaluations use the clips as
    they are. A frozen front end is then run for each batch, since its kept output is that of other audio."""

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """The sections of `augment`."""
        return self.augment

    def list_modules(self) -> tuple[str, ...]:
        """The modules of the augmentations."""
        return tuple(sorted({f"augmentations.{section.chain}" for section in self.augment}))


def extend_section(section: type[BaseModel]) -> type[BaseModel]:
    """The section of a method, with the augmentations of the current plug-ins."""
    if not issubclass(section, AugmentedOptimisation) or list_plugins("augmentations") == _BUILT_WITH:
        return section
    field: Any = (tuple[join_augmentations(), ...], section.model_fields["augment"])  # type: ignore[misc]
    return create_model(
        section.__name__, __base__=section, __module__=section.__module__, __doc__=section.__doc__, augment=field
    )
