"""Any transforms of the library `audiomentations` (Jordal et al.), one after the other."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.config.augmentations import Augmentation
from emoadapt.config.base import Name, Section
from emoadapt.errors import ConfigError, explain_extra

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.augmentations.base import Chain

LIBRARIES = ("librosa", "numpy-minmax", "numpy-rms", "python-stretch", "scipy")
"""What `audiomentations` computes with."""

FILES = ("AddBackgroundNoise", "AddShortNoises", "ApplyImpulseResponse")
"""Transforms that read files, which are no part of a study."""
UNUSABLE = ("Compose", "Lambda", "OneOf", "SomeOf")


class Transform(Section):
    """A transform of the library."""

    transform: Name
    """Its class, such as `Gain` or `TimeStretch`."""
    probability: float = Field(gt=0, le=1)
    """Probability that it is applied: its `p`."""
    parameters: dict[Name, bool | int | float | str] = Field({})
    """Its other arguments, by their names in the library; those left out have its defaults."""

    @field_validator("transform")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in FILES:
            raise ValueError(f"{value} reads files, whose edits a study would not notice; write a plug-in of your own")
        if value in UNUSABLE or value not in list_transforms():
            raise ValueError(f"audiomentations has no transform {value}; there is {', '.join(list_transforms())}")
        return value

    @model_validator(mode="after")
    def _takes(self) -> Transform:
        taken = list_transforms().get(self.transform, ())
        if unknown := [name for name in self.parameters if name not in taken]:
            raise ValueError(f"{self.transform} has no parameter {', '.join(unknown)}; it has {', '.join(taken)}")
        return self


class Config(Augmentation):
    """Transforms of the library audiomentations, each with its probability."""

    chain: Literal["audiomentations"]
    transforms: tuple[Transform, ...]
    """Transforms, in their order."""


def build(config: Config) -> Chain:
    """The chain of a section; see `base`.

    Raises:
        ConfigError: a transform refuses its parameters.
    """
    return compose([(part.transform, part.probability, part.parameters) for part in config.transforms])


def compose(transforms: Sequence[tuple[str, float, dict[str, Any]]]) -> Chain:
    """A chain of transforms: class, probability and further arguments of each.

    Raises:
        ConfigError: a transform refuses its arguments.
    """
    import audiomentations

    from emoadapt.augmentations.base import seed_globals
    from emoadapt.schema import SAMPLE_RATE

    parts = []
    for name, probability, arguments in transforms:
        try:
            parts.append(getattr(audiomentations, name)(p=probability, **arguments))
        except (ValueError, TypeError, AssertionError, ImportError) as error:
            said = " ".join(str(error).split()) or "a value out of range"
            raise ConfigError(f"audiomentations: {name} refuses {arguments} ({said}); change its parameters") from error

    def apply(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        with seed_globals(random):
            for part in parts:
                samples = part(samples, SAMPLE_RATE)
        return samples.astype("float32", copy=False)

    return apply


@cache
def list_transforms() -> dict[str, tuple[str, ...]]:
    """Transforms of the library -> their parameters, `p` apart, read without importing it, which takes a second.

    Raises:
        ValueError: it is not installed.
    """
    spec = importlib.util.find_spec("audiomentations")
    if spec is None or spec.origin is None:
        raise ValueError(explain_extra("audiomentations"))
    top = Path(spec.origin)
    sources = {
        alias.name: top.parent.joinpath(*node.module.split(".")).with_suffix(".py")
        for node in _parse(top)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("augmentations.")
        for alias in node.names
    }
    return {
        name: _list_arguments(item)
        for name, source in sorted(sources.items())
        if name not in (*FILES, *UNUSABLE)
        for item in _parse(source)
        if isinstance(item, ast.ClassDef) and item.name == name
    }


def _parse(source: Path) -> list[ast.stmt]:
    with warnings.catch_warnings():
        # Of the library's docstrings.
        warnings.simplefilter("ignore")
        return ast.parse(source.read_text(encoding="utf-8")).body


def _list_arguments(definition: ast.ClassDef) -> tuple[str, ...]:
    for item in definition.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = [argument.arg for argument in (*item.args.args, *item.args.kwonlyargs)]
            return tuple(name for name in names if name not in ("self", "p"))
    return ()
