"""Fine-tune a student close to the embeddings of a teacher (Srinivasan et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import ModelName
from emoadapt.methods import finetune

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"


class Config(finetune.Config):
    """Stage 2 with a teacher: a model of the same task whose embeddings of the training clips the backbone learns to give."""

    method: Literal["student"]  # type: ignore[assignment]
    teacher: ModelName
    """Model that teaches; its fine-tuning has `keep: embeddings`. Each run learns from the same run of it. Training clips that the
    teacher lacks are learned by their labels alone."""
    weight: float = Field(30.0, gt=0)
    """Weight of the distance to the teacher's embedding, beside the loss of the task (the paper: 30)."""
    residual: float | None = Field(None, gt=0)
    """Tasks of attributes: a clip is not taught if the residual of any attribute is larger than so many standard deviations (the paper:
    2). Residuals are those of the least-squares line from the teacher's values to the labels of the training clips. null: all are taught."""
    correct_only: bool = False
    """Tasks of classes: a clip that the teacher misclassifies is not taught (Meng et al. 2019)."""

    upstream_keys: ClassVar[tuple[str, ...]] = ("teacher",)
    upstream_table: ClassVar[str] = "training_clips"

    @property
    def questions(self) -> tuple[Literal["classes", "attributes"], ...]:  # type: ignore[override]
        """Kinds of tasks: a condition is of one."""
        if self.residual is not None:
            return ("attributes",)
        return ("classes",) if self.correct_only else ("classes", "attributes")

    def hint_questions(self) -> str:
        """Name the condition."""
        if self.residual is not None:
            return ". Its key residual is for attributes: remove it, or for classes write correct_only: true"
        return (
            ". Its key correct_only is for classes: remove it, or for attributes write residual: 2" * self.correct_only
        )

    @model_validator(mode="after")
    def _one_condition(self) -> Config:
        if self.residual is not None and self.correct_only:
            raise ValueError("residual is for tasks of attributes and correct_only for tasks of classes; remove one")
        return self

    def list_notes(self) -> list[str]:
        """Teacher, weight and condition."""
        condition = ""
        if self.residual is not None:
            condition = f", but for training clips whose residual is larger than {self.residual:g} standard deviations"
        if self.correct_only:
            condition = ", but for training clips that the teacher misclassifies"
        learned = f"the distance to the embedding of {self.teacher} is added to the loss with weight {self.weight:g}"
        return [*super().list_notes(), f"{learned}{condition}"]


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.students.teach`."""
    from emoadapt.training.students import teach

    teach(job)
