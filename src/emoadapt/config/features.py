"""Configuration of features: the sections that their modules declare."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, field_validator

from emoadapt.config.base import Name, Section, repeated_values
from emoadapt.data.streams import Stream
from emoadapt.errors import ConfigError, Problems
from emoadapt.fixes import find_unknown
from emoadapt.plugins import check_plugin, list_plugins, load_plugin, read_declaration

REQUIRED = ("INPUTS", "TERMS", "TABLE", "Config", "load")
"""Required literals of a feature's module; `emoadapt.features.base` explains them."""


class FeaturesBase(Section):
    """One section per feature, and keys for all of them."""

    stall_limit: float = Field(120.0, gt=0)
    """Seconds without progress after which a clip is set aside (`stalled`), because its decoder hangs."""
    also: tuple[Name, ...] = ()
    """Features to compute for every corpus in addition to those that the study uses, in `results/features/`. Features that need
    video are left out for corpora without it."""

    @field_validator("also")
    @classmethod
    def _features(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name in cls.model_fields if name not in FeaturesBase.model_fields]
        if set(value) - set(known):
            raise Problems(find_unknown("", value, known, "feature"))
        if repeated := repeated_values(value):
            raise ValueError(f"it repeats {', '.join(repeated)}; name each feature once")
        return value


def build_features() -> type[FeaturesBase]:
    """The section `features` with a key for every feature that is found.

    Raises:
        ConfigError: a feature does not declare what all must.
    """
    sections = {name: _load(name).Config for name in list_plugins("features")}
    fields: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    return create_model("Features", __base__=FeaturesBase, __doc__=FeaturesBase.__doc__, **fields)


def _load(feature: str) -> ModuleType:
    module = load_plugin("features", feature)
    if lacking := [name for name in REQUIRED if not hasattr(module, name)]:
        raise ConfigError(
            f"feature {feature} does not declare {', '.join(lacking)} ({module.__file__}); see docs/add-a-feature.md"
        )
    return module


def list_upstream(feature: str) -> list[str]:
    """The features that a feature needs, itself last, in an order in which they can be computed.

    Raises:
        ConfigError: one of its inputs is no feature, or needs itself.
    """
    return list(_collect_upstream(check_plugin("features", feature), ()))


def needs_video(feature: str) -> bool:
    """Whether a feature, or one that it needs, is computed from pictures."""
    return any("video" in (read_declaration("features", name, "MODALITIES") or ()) for name in list_upstream(feature))


def gives_stream(feature: str, stream: Stream) -> bool:
    """Whether the table of a feature has the column of a stream, in its layout."""
    return stream.fits(_load(feature).TABLE)


def _collect_upstream(feature: str, above: tuple[str, ...]) -> dict[str, None]:
    if feature in above:
        raise ConfigError(f"feature {feature} needs itself: {' <- '.join((*above, feature))}; change its INPUTS")
    found: dict[str, None] = {}
    for name in read_declaration("features", feature, "INPUTS") or ():
        if name != "manifest":
            found |= _collect_upstream(check_plugin("features", name), (*above, feature))
    return found | {feature: None}


if TYPE_CHECKING:

    class Features(FeaturesBase):
        """With a key for every feature."""

        def __getattr__(self, name: str) -> Any: ...

else:
    Features = build_features()
