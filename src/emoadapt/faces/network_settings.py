"""Sections of the networks that embed faces."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Section
from emoadapt.errors import name_count
from emoadapt.weights.registry import find_entry

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class OnnxNetwork(Section):
    """An ONNX network and its input. The registry fills in what is not declared of a file that it knows."""

    file: str
    """ONNX file, relative to `models_dir`, or the registry's name for it."""
    input_size: int | None = Field(None, ge=16, le=1024)
    """Side of the square input in pixels. null: the side that the file was exported for. A network that was exported for another one is
    changed, or refused where it cannot be; one that takes any size must be told."""
    colour: Literal["rgb", "bgr", "grey"] | None = None
    """Channel order of the input (batch, channels, size, size). null: grey if `mean` has one value, else rgb; check and report say
    that this is assumed."""
    mean: tuple[float, ...] | None = None
    """Per channel, subtracted from pixels scaled to [0, 1]. null: ImageNet's (0.485, 0.456, 0.406), which check and report say; of a
    grey image it must be declared."""
    std: tuple[float, ...] | None = None
    """Per channel, divided by. null: ImageNet's (0.229, 0.224, 0.225), as for `mean`."""
    output: str | None = None
    """Name of the tensor that is the embedding, (batch, dimension); null = what goes into the classifier, the network's last
    linear layer."""

    @model_validator(mode="before")
    @classmethod
    def _registered(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        entry = find_entry(str(values.get("file")))
        declared = {key: value for key, value in values.items() if value is not None}
        known = {**entry.network, **declared} if entry else declared
        # Strict types take a list for a tuple only where it comes straight from JSON.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}

    @model_validator(mode="after")
    def _channels(self) -> OnnxNetwork:
        channels = 1 if self.read_colour() == "grey" else 3
        if any(values is not None and len(values) != channels for values in (self.mean, self.std)):
            raise ValueError(f"colour {self.read_colour()} needs {name_count(channels, 'value')} in mean and in std")
        if channels == 1 and None in (self.mean, self.std):
            raise ValueError(
                "colour grey has no usual mean and std; set both to those that the network was trained with"
            )
        return self

    def read_colour(self) -> str:
        """Channel order that the images get."""
        return self.colour or ("grey" if self.mean is not None and len(self.mean) == 1 else "rgb")

    def read_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation that the images get, per channel."""
        return self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD

    def resolve(self) -> OnnxNetwork:
        """The same network with the colour order and statistics that images get."""
        mean, std = self.read_statistics()
        return self.model_copy(update={"colour": self.read_colour(), "mean": mean, "std": std})

    def name_assumptions(self) -> str:
        """Input that nobody declared and the file does not state, as a list; empty if all is declared."""
        colour = ["the colour order RGB"] if self.colour is None and self.read_colour() == "rgb" else []
        statistics = ["mean"] * (self.mean is None) + ["standard deviation"] * (self.std is None)
        return " and ".join(colour + ([f"ImageNet's {' and '.join(statistics)}"] if statistics else []))


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
