"""Add the logits of models of the same task; nothing is trained.

Ahn et al. (2024, Sec. 3.2.4) add those of an audio and a text model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import ModelName
from emoadapt.config.training import Finetuning
from emoadapt.study.nodes import Model

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"


class Config(Finetuning):
    """Fusion of trained models: each run adds the logits of the same run of these."""

    method: Literal["fuse"]
    of: tuple[ModelName, ...] = Field(min_length=2)
    """Models whose logits are added. The fused model is called by backbone and start of the first one, and by this fine-tuning. Test clips
    that one of them has no prediction for are left out."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes",)
    frozen: ClassVar[bool] = True
    reads_clips: ClassVar[bool] = False
    upstream_keys: ClassVar[tuple[str, ...]] = ("of",)

    @model_validator(mode="after")
    def _take_name(self) -> Config:
        """Take backbone and start of the first model; they are no keys of this section."""
        if given := sorted({"backbones", "starts"} & self.model_fields_set):
            raise ValueError(f"a fused model is called by the first one in `of`; remove {' and '.join(given)}")
        first = Model.parse(self.of[0])
        self.__dict__.update(backbones=(first.backbone,), starts=(first.start,))
        return self

    def list_notes(self) -> list[str]:
        """The models behind the name."""
        return [f"the logits of {' and '.join(self.of)} are added, run by run; nothing is trained"]


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.fusing.fuse`."""
    from emoadapt.training.fusing import fuse

    fuse(job)
