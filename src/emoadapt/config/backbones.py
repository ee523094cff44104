"""Configuration of backbones: what all share, and a union of the sections of all families, told apart by `architecture`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from emoadapt.config.base import Section
from emoadapt.plugins import list_plugins, load_plugin, read_declaration


class Backbone(Section):
    """What is trained on a task: an encoder, or a vector of descriptors."""

    architecture: str
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] | None = None
    """Numbers of training clips that it is trained with on tasks (default: all that a task names)."""

    adaptable: ClassVar[bool] = False
    """Whether it has parameters of its own, which Stage 1 and fine-tuning train."""

    @property
    def provenance(self) -> Literal["pretrained", "untrained", "descriptors"]:
        """Where its parameters come from."""
        return "descriptors"

    @property
    def features(self) -> tuple[str, ...]:
        """Features that it reads."""
        return ()

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

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but with how many clips it is trained."""
        return self.model_dump_json(exclude={"subsets"})

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output of the frozen backbone, as JSON.

        Args:
            kind: `frontend`, the output of its front end, or `layers`, the means over time of its layers.
        """
        return self.describe()


def list_architectures() -> dict[str, str]:
    """Architecture -> plug-in whose it is, read without importing any; a plug-in that names none has its own name."""
    return {
        architecture: name
        for name in list_plugins("backbones")
        for architecture in read_declaration("backbones", name, "ARCHITECTURES") or (name,)
    }


def join_backbones() -> Any:
    """Union of the sections of all architectures."""
    sections = [
        Annotated[load_plugin("backbones", name).Config, Tag(architecture)]
        for architecture, name in list_architectures().items()
    ]

    def architecture(value: Any) -> Any:
        return value.get("architecture") if isinstance(value, dict) else getattr(value, "architecture", None)

    return Annotated[reduce(or_, sections), Discriminator(architecture)]


if TYPE_CHECKING:
    AnyBackbone = Backbone
else:
    AnyBackbone = join_backbones()
