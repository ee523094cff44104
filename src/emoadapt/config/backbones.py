"""Configuration of backbones: what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from emoadapt.config.base import Section
from emoadapt.data.streams import Stream
from emoadapt.errors import Problem


class Kept(NamedTuple):
    """An output of a frozen backbone that takes the place of a stream.

    Args:
        kind: `frontend`, the output of the front end, or `states`, the last layer.
        whose: `own`: of the backbone as it is. `start`: of the Stage-1 model that the training starts from.
        backbone: name of the backbone in the study; None = the one that is trained.
    """

    kind: Literal["frontend", "states"]
    whose: Literal["own", "start"]
    backbone: str | None = None


class Backbone(Section):
    """Section of a backbone: an encoder, a vector of descriptors, or several encoders joined."""

    architecture: str
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] | None = None
    """Numbers of training clips that it is trained with on tasks (default: all that a task names)."""

    adaptable: ClassVar[bool] = False
    """True if the backbone has parameters, which Stage 1 and fine-tuning train."""
    layered: ClassVar[bool] = True
    """False if it has no layers of its own that Stage 1 or a probe could read, but joins backbones that may have some."""

    def link(self, backbones: Mapping[str, Backbone]) -> list[Problem]:
        """Take up the study's other sections.

        Args:
            backbones: all of the study.

        Returns:
            What is wrong, with keys of the section.
        """
        return []

    @property
    def joined(self) -> Mapping[str, str]:
        """Part -> name of its backbone in the study; empty for a model that joins none."""
        return {}

    @property
    def parts(self) -> Mapping[str, Backbone]:
        """Part -> its section, as it is used in the model."""
        return {}

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of equal parts of each layer's width, each of which an objective or a probe may read alone; empty if there are none."""
        return ()

    @property
    def read_frozen(self) -> bool:
        """Whether a part has no parameters; then only a probe can read it."""
        return False

    @property
    def standardised(self) -> bool:
        """Whether its input is z-scored with statistics of training clips, which the backbone has only once it is trained."""
        return False

    @property
    def provenance(self) -> Literal["pretrained", "untrained", "descriptors"]:
        """Where its parameters come from."""
        return "descriptors"

    @property
    def depth(self) -> int | None:
        """Number of layers that a probe can read, the input among them; None where only the weights tell."""
        return None

    def join_depths(self, depths: Mapping[str, int | None]) -> int | None:
        """`depth`, where the weights of its parts are known.

        Args:
            depths: part -> its `depth`; None where not even its weights tell.
        """
        return self.depth

    def check_depths(self, depths: Mapping[str, int | None]) -> list[Problem]:
        """What is wrong with the numbers of layers of its parts, with keys of the section; arguments as those of `join_depths`."""
        return []

    @property
    def streams(self) -> Mapping[str, Stream]:
        """Streams that it reads, by role. A clip must have the first; it may lack others."""
        return {}

    @property
    def features(self) -> tuple[str, ...]:
        """Features that it reads."""
        return tuple(dict.fromkeys(stream.feature for stream in self.streams.values()))

    def list_kept(self, stage: Literal["stage1", "stage2"], start: str) -> Mapping[str, Kept]:
        """Outputs of frozen backbones that a training reads in place of streams, by the streams' roles.

        Args:
            stage: of the training.
            start: `original`, or an adaptation.
        """
        return {}

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
            kind: one of `schema.KEPT`.
        """
        return self.describe()
