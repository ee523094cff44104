"""Base class of all sections of a configuration."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from emoadapt.listing.names import normalise_name

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, description="letters, digits and underscores")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){1,2}$")]
"""`<backbone>.<start>`, or `<backbone>.<start>.<finetuning>`."""
PlainName = Annotated[str, AfterValidator(normalise_name)]
"""Name of a speaker, class or part, in the form in which corpora give it (`listing.names`)."""
REPEATING = ("mean", "std", "conv_dim", "conv_kernel", "conv_stride", "test_also", "also")
"""List-valued keys that may repeat a value or be empty. A key whose default is empty may be empty too."""

Fraction = Annotated[float, Field(gt=0, lt=1)]

ONE, MANY = "<one>", "<list>"
"""Names that pydantic gives to the alternatives of `Choice`."""
T = TypeVar("T")
Choice = Annotated[
    Annotated[T, Tag(ONE)] | Annotated[tuple[T, ...], Tag(MANY)],
    Discriminator(lambda value: MANY if isinstance(value, (list, tuple)) else ONE),
]
"""A value, or a list of values to choose from."""


def repeated_values(names: Iterable[Any]) -> list[Any]:
    """Values that occur more than once, each once."""
    listed = list(names)
    return [name for number, name in enumerate(listed) if name in listed[:number] and name not in listed[number + 1 :]]


def _refuse_alike_keys(values: Any) -> Any:
    """Refuse keys that are the same name (`x` and `x `): one of the two values would be lost."""
    if isinstance(values, dict):
        given: dict[str, str] = {}
        for key in map(str, values):
            if (name := normalise_name(key)) in given:
                raise ValueError(f"keys {given[name]!r} and {key!r} are the same name {name!r}; keep one")
            given[name] = key
    return values


NameMap = Annotated[dict[PlainName, PlainName], BeforeValidator(_refuse_alike_keys)]
"""Mapping from one name to another."""


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @model_validator(mode="after")
    def _lists(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and name not in REPEATING:
                field = type(self).model_fields[name]
                if not value and field.default != ():
                    advice = "name at least one" if field.is_required() else "leave the key out for its default"
                    raise ValueError(f"{name} must not be empty; {advice}")
                if repeated := repeated_values(value):
                    raise ValueError(f"{name} repeats {', '.join(map(str, repeated))}")
        return self


def expand_variables(text: str) -> str:
    """Replace `${NAME}` and `$NAME` by environment variables, and a leading `~` by the user's folder.

    Raises:
        ValueError: a variable is not set or empty, or the text is.
    """
    if not text.strip():
        raise ValueError("it is empty, and names no path; write one (`.` is the folder that the study runs in)")

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        found = os.environ.get(name)
        if not (found or "").strip():
            lacks = "not set" if found is None else "empty"
            raise ValueError(f"environment variable {name} is {lacks}; set it, or write the path itself")
        return str(found)

    expanded = re.sub(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", value, text)
    return str(Path(expanded).expanduser()) if expanded.startswith("~/") else expanded


def list_models(annotation: Any) -> list[type[BaseModel]]:
    """Sections that a type annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in list_models(argument)]
