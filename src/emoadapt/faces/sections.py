"""Section of a feature that a plug-in computes from pictures: face or landmark detector."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from emoadapt.errors import ConfigError
from emoadapt.features.base import FeatureSection, Network
from emoadapt.plugins import KINDS, check_plugin, collect_declarations, read_declaration, read_declarations

REQUIRED = ("WEIGHTS", "STATE", "GPU", "HONOURS")
"""What the module of a detector must declare, as literals; `emoadapt.detectors.base` says what it means."""


class DetectorSection(FeatureSection):
    """A feature with a detector, a plug-in of `KIND`; keys of `OPTIONAL` are honoured by those that say so."""

    KIND: ClassVar[str]
    ROLE: ClassVar[str]
    OPTIONAL: ClassVar[tuple[str, ...]]

    detector: str
    weights: str | None = None

    @field_validator("detector")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            declared = read_declarations(cls.KIND, check_plugin(cls.KIND, value))
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if lacking := [name for name in REQUIRED if name not in declared]:
            raise ValueError(
                f"{KINDS[cls.KIND]} {value} does not declare {', '.join(lacking)}; see docs/add-a-detector.md"
            )
        return value

    @model_validator(mode="after")
    def _honoured(self) -> DetectorSection:
        for key in self.OPTIONAL:
            if getattr(self, key) == type(self).model_fields[key].default:
                continue
            able = [name for name, keys in collect_declarations(self.KIND, "HONOURS").items() if key in keys]
            if self.detector not in able:
                raise ValueError(
                    f"{key}: {self.detector} has no such setting; leave the key out, or use {' or '.join(able)}"
                )
        return self

    def describe_network(self) -> Network:
        """The detector, with its usual weights or others."""
        weights = self.weights or self._read("WEIGHTS")
        state, stand_in = self._read("STATE"), self._read("STAND_IN")
        carried = weights is None and state == "pretrained"
        return Network(self.ROLE, self.detector, state, weights, carried, stand_in=stand_in)

    def list_modules(self) -> tuple[str, ...]:
        """The detector's."""
        return (f"emoadapt.{self.KIND}.{self.detector}",)

    def needs_gpu(self) -> bool:
        """Whether the detector does."""
        return bool(self._read("GPU"))

    def runs_parallel(self) -> bool:
        """Yes."""
        return True

    def _read(self, constant: str) -> Any:
        """What the detector declares."""
        return read_declaration(self.KIND, self.detector, constant)
