"""A support vector machine on a vector per clip.

The system that INTERSPEECH's ComParE challenges have set beside every new one since 2009 (Schuller et al. 2009, 2016):
openSMILE functionals, z-scored, into an SVM. It is deterministic, so that there is one run per draw and fold, whatever the seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from emoadapt.config.base import Choice
from emoadapt.config.training import FrozenFinetuning

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"
NOTE = (
    "SVM: a clip's class is the one with the largest one-against-rest decision value (scikit-learn's break_ties=True); "
    "where votes of pairs of classes are tied, SVC.predict without it may name another."
)
"""Footnote of tables that show its scores."""

Layer = Literal["last", "best"] | Annotated[int, Field(ge=0)]


class Config(FrozenFinetuning):
    """A support vector machine on a vector per clip: descriptors, or the pooled layer of a frozen backbone."""

    method: Literal["svm"]
    layer: Choice[Layer] = "last"
    """Layer of a backbone whose mean over time is the vector; 0 = the input of its transformer. A list: each run chooses one.
    `best`: a list of all layers."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes",)
    deterministic: ClassVar[bool] = True
    refitted: ClassVar[bool] = True
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"svm": ("layer", "kernel", "c", "gamma")}

    def list_libraries(self) -> tuple[str, ...]:
        """The one of the machine."""
        return ("scikit-learn",)


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.machines.fit_machines`."""
    from emoadapt.training.machines import fit_machines

    fit_machines(job)
