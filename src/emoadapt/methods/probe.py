"""A classifier on the layers of a frozen backbone (SUPERB, Yang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.training import Finetuning, Optimisation

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"
OF_AUDIO = ("batch_seconds", "max_seconds", "crop", "compile")
"""Keys of a training by epochs that say something of audio, or of the backbone that reads it."""


class Config(Optimisation, Finetuning):
    """A head on the layers of a frozen backbone; their means over time are computed once."""

    method: Literal["probe"]
    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    layers: Literal["weighted", "last", "best"] | Annotated[int, Field(ge=0)] = "weighted"
    """Layers to read; layer 0 is the input of the transformer. `weighted`: a learned convex mean of all. `last` or a number: one layer.
    `best`: the layer whose probe is best on the dev part."""
    head: Literal["linear", "mlp", "logistic"] = "linear"
    """`linear` and `mlp`, one layer or two, are trained by epochs. `logistic` is scikit-learn's multinomial logistic regression,
    which needs one layer."""
    head_hidden: int | None = Field(None, ge=1)
    """Units between the two layers of `mlp`; null = the width of the backbone."""
    c: float = Field(1.0, gt=0)
    """Inverse strength of the penalty of `logistic`."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weight the loss by inverse class frequency."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is distributed evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """As in `finetune`."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """Statistics used for z-scoring the vectors: of the training clips, of each corpus, or of each speaker. The last two use
    unlabelled test clips."""

    frozen: ClassVar[bool] = True

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        """Whether all seeds give the same result: logistic regression has one solution."""
        return self.head == "logistic"

    @property
    def questions(self) -> tuple[Literal["classes", "attributes"], ...]:  # type: ignore[override]
        """Kinds of tasks: logistic regression predicts classes only."""
        return ("classes",) if self.head == "logistic" else ("classes", "attributes")

    def list_libraries(self) -> tuple[str, ...]:
        """The one of logistic regression."""
        return ("scikit-learn",) if self.head == "logistic" else ()

    @model_validator(mode="after")
    def _one_layer(self) -> Config:
        if self.head == "logistic" and self.layers == "weighted":
            raise ValueError(
                "head logistic reads one layer; set layers to last, best or a number, or choose another head"
            )
        return self

    @model_validator(mode="after")
    def _no_idle_keys(self) -> Config:
        own = {"logistic": ("c",), "mlp": ("head_hidden",)}
        idle = {key for head, keys in own.items() if head != self.head for key in keys}
        if self.head == "logistic":
            idle |= {*Optimisation.model_fields, "label_smoothing", "targets"}
        if given := sorted(idle & self.model_fields_set):
            raise ValueError(
                f"head {self.head} does not use {', '.join(given)}; remove {'it' if len(given) == 1 else 'them'}"
            )
        return self

    @model_validator(mode="after")
    def _no_audio(self) -> Config:
        fields = type(self).model_fields
        idle = [key for key in OF_AUDIO if getattr(self, key) != fields[key].default]
        if idle:
            raise ValueError(
                f"a probe reads each layer's mean over a whole clip, and no audio; remove {' and '.join(idle)}"
            )
        return self


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.probing` and `emoadapt.training.machines`."""
    if job.settings.head == "logistic":
        from emoadapt.training.machines import fit_logistic

        fit_logistic(job)
    else:
        from emoadapt.training.probing import probe

        probe(job)
