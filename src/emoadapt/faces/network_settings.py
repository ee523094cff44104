"""Sections of the networks that embed faces."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Section
from emoadapt.weights.registry import find_entry


class OnnxNetwork(Section):
    """An ONNX network with a declared input. Of a registered one, the registry knows what is not declared."""

    file: str
    """ONNX file, relative to `models_dir`, or the registry's name for it."""
    input_size: int = Field(224, ge=16, le=1024)
    """Side of the square input in pixels. A network that was exported for another one is changed, or refused where it cannot be."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """Channel order of the input (batch, channels, size, size)."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Per channel, subtracted from pixels scaled to [0, 1]."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Per channel, divided by."""
    output: str | None = None
    """Name of the tensor that is the embedding, (batch, dimension); null = what goes into the classifier, the network's last
    linear layer."""

    @model_validator(mode="before")
    @classmethod
    def _registered(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        entry = find_entry(str(values.get("file")))
        known = {**entry.network, **values} if entry else values
        # Strict types take a list for a tuple only where it comes straight from JSON.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}

    @model_validator(mode="after")
    def _channels(self) -> OnnxNetwork:
        channels = 1 if self.colour == "grey" else 3
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"colour {self.colour} needs {channels} value(s) in mean and in std")
        return self


class UntrainedNetwork(Section):
    """A small seeded convolutional network without training: for the demo and for trials only."""

    untrained: Literal["tiny_cnn"]
    seed: int = Field(0, ge=0)
    dimension: int = Field(64, ge=4, le=2048)
    input_size: int = Field(64, ge=32, le=224)


def find_native_size(file: str) -> int | None:
    """Side of the input that a registered network was trained with; None where it is not known."""
    entry = find_entry(file)
    return entry.network.get("input_size") if entry else None
