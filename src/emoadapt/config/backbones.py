"""Configuration of backbones: what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emoadapt.config.base import Section
from emoadapt.data.streams import Stream


class Backbone(Section):
    """Section of a backbone: an encoder, or a vector of descriptors."""

    architecture: str
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] | None = None
    """Numbers of training clips that it is trained with on tasks (default: all that a task names)."""

    adaptable: ClassVar[bool] = False
    """True if the backbone has parameters, which Stage 1 and fine-tuning train."""

    @property
    def provenance(self) -> Literal["pretrained", "untrained", "descriptors"]:
        """Where its parameters come from."""
        return "descriptors"

    @property
    def depth(self) -> int | None:
        """Number of layers that a probe can read, the input among them; None where only the weights tell."""
        return None

    @property
    def streams(self) -> Mapping[str, Stream]:
        """Streams that it reads, by role. A clip must have the first; it may lack others."""
        return {}

    @property
    def features(self) -> tuple[str, ...]:
        """Features that it reads."""
        return tuple(dict.fromkeys(stream.feature for stream in self.streams.values()))

    def find_front_end(self, stage: Literal["stage1", "stage2"], start: str) -> Literal["own", "start"] | None:
        """Whose frozen front end a training reads the cached output of.

        Args:
            stage: of the training.
            start: `original`, or an adaptation.

        Returns:
            `own`: the backbone's as it is. `start`: that of the Stage-1 model. None: none; it reads its features.
        """
        return None

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Weights that it loads: name or path, revision of a hub model."""
        return []

    def list_libraries(self) -> tuple[str, ...]:
        """Distributions that these settings bring into use, besides those that the family's modules import."""
        return ()

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but with how many clips it is trained."""
        return self.model_dump_json(exclude={"subsets"})

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output of the frozen backbone, as JSON.

        Args:
            kind: `frontend`, the output of its front end, or `layers`, the means over time of its layers.
        """
        return self.describe()
