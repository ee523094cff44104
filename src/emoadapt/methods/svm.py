"""A support vector machine on a vector per clip.

The system that INTERSPEECH's ComParE challenges have set beside every new one since 2009 (Schuller et al. 2009, 2016):
openSMILE functionals, z-scored, into an SVM. It is deterministic, so that there is one run per draw and fold, whatever the seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from emoadapt.config.training import Finetuning

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"
NOTE = (
    "SVM: a clip's class is the one with the largest one-against-rest decision value (scikit-learn's break_ties=True); "
    "where votes of pairs of classes are tied, SVC.predict without it may name another."
)
"""Footnote of tables that show its scores."""


class Config(Finetuning):
    """A support vector machine on a vector per clip: descriptors, or the pooled layer of a frozen backbone."""

    method: Literal["svm"]
    layer: Literal["last"] | Annotated[int, Field(ge=0)] = "last"
    """Layer of a backbone whose mean over time is the vector; 0 = the input of its transformer."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """Statistics used for z-scoring the vectors: of the training clips, of each corpus, or of each speaker. The last two use
    unlabelled test clips."""
    kernel: Literal["rbf", "linear"] = "rbf"
    c: float = Field(1.0, gt=0)
    """Cost of an error."""
    gamma: Literal["auto", "scale"] | Annotated[float, Field(gt=0)] = "auto"
    """Width of the rbf kernel; `auto`: 1 / number of descriptors."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weigh errors by inverse class frequency."""
    train_on_dev: bool = False
    """Also train on the dev part if all training clips are used (`full`); nothing is chosen on it."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes",)
    deterministic: ClassVar[bool] = True
    frozen: ClassVar[bool] = True

    def list_libraries(self) -> tuple[str, ...]:
        """The one of the machine."""
        return ("scikit-learn",)

    def list_notes(self) -> list[str]:
        """Sentences for readers of its scores."""
        return ["trained on the dev part too where all training clips are used"] if self.train_on_dev else []


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.machines.fit_machines`."""
    from emoadapt.training.machines import fit_machines

    fit_machines(job)
