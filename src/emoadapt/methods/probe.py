"""A classifier on the layers of a frozen backbone (SUPERB, Yang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Choice
from emoadapt.config.training import FrozenFinetuning, Optimisation, Positive, list_values

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"
OF_AUDIO = ("batch_seconds", "max_seconds", "crop", "compile")
"""Keys of a training by epochs that say something of audio, or of the backbone that reads it."""
BY_EPOCHS = ("linear", "mlp")
"""Classifiers that are trained by epochs; the others have one solution."""

Layer = Literal["weighted", "last", "best"] | Annotated[int, Field(ge=0)]
Classifier = Literal["linear", "mlp", "logistic", "svm"]


class Config(Optimisation, FrozenFinetuning):
    """A classifier on the layers of a frozen backbone; their means over time are computed once."""

    method: Literal["probe"]
    epochs: int = Field(50, ge=1)
    learning_rate: Choice[Positive] = 1e-3  # type: ignore[assignment]
    """Learning rate of the optimiser. A list: each run chooses one."""
    layer: Choice[Layer] = "weighted"
    """Layers to read; layer 0 is the input of the transformer. `weighted`: a learned convex mean of all, for `linear` and `mlp`. `last`
    or a number: one layer. A list: each run chooses one. `best`: a list of all layers."""
    classifier: Choice[Classifier] = "linear"
    """`linear` and `mlp`, one layer or two, are trained by epochs. `logistic` is scikit-learn's multinomial logistic regression,
    `svm` its support vector machine; both read one layer. A list: each run chooses one."""
    head_hidden: int | None = Field(None, ge=1)
    """Units between the two layers of `mlp`; null = the width of the backbone."""
    select: Literal["macro_f1", "weighted_f1", "loss"] = "macro_f1"
    """Value of the dev part that chooses the epoch of `linear` and `mlp`: macro-F1, F1 weighted by the clips of each class (CARE), or the
    mean loss. Of attributes an F1 is the mean CCC."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is distributed evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """As in `finetune`."""

    refitted: ClassVar[bool] = True
    reads: ClassVar[dict[str, tuple[str, ...]]] = {
        "linear": ("layer", "learning_rate"),
        "mlp": ("layer", "learning_rate"),
        "logistic": ("layer", "c"),
        "svm": ("layer", "kernel", "c", "gamma"),
    }

    @property
    def by_epochs(self) -> list[str]:
        """Classifiers of the list that are trained by epochs."""
        return [name for name in self.classifiers if name in BY_EPOCHS]

    @property
    def head(self) -> str:
        """Kind of the head of a classifier that is trained by epochs."""
        return str(self.classifier)

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        """Whether all seeds give the same result: machines have one solution."""
        return not self.by_epochs

    @property
    def questions(self) -> tuple[Literal["classes", "attributes"], ...]:  # type: ignore[override]
        """Kinds of tasks: machines predict classes only."""
        return ("classes", "attributes") if len(self.by_epochs) == len(self.classifiers) else ("classes",)

    def list_libraries(self) -> tuple[str, ...]:
        """The one of machines, and of inner folds."""
        machines = len(self.by_epochs) < len(self.classifiers)
        return ("scikit-learn",) if machines or (self.lists and self.choose_by == "folds") else ()

    @model_validator(mode="after")
    def _fitting_layers(self) -> Config:
        layers = list_values(self.layer)
        if layers == ("weighted",) and (machines := [n for n in self.classifiers if n not in BY_EPOCHS]):
            raise ValueError(
                f"classifier {' and '.join(machines)} reads one layer; set layer to last, best, a number or a list, or choose another "
                "classifier"
            )
        if "weighted" in layers and not self.by_epochs:
            raise ValueError(
                "layer weighted is learned by linear and mlp alone; remove it, or add one of them to classifier"
            )
        return self

    @model_validator(mode="after")
    def _no_idle_keys(self) -> Config:
        known = {key for keys in self.reads.values() for key in keys} | {"head_hidden"}
        used = {key for name in self.classifiers for key in self.reads[name]}
        used |= {"head_hidden"} if "mlp" in self.classifiers else set()
        idle = known - used
        if not self.by_epochs:
            idle |= {*Optimisation.model_fields, "label_smoothing", "targets", "select"}
        if given := sorted(idle & self.model_fields_set):
            names = " and ".join(self.classifiers)
            raise ValueError(
                f"classifier {names} does not use {', '.join(given)}; remove {'it' if len(given) == 1 else 'them'}"
            )
        if self.train_on_dev and self.by_epochs:
            raise ValueError(
                f"train_on_dev leaves no dev part to choose the epoch of {' and '.join(self.by_epochs)} by; remove it, or choose among "
                "logistic and svm"
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
    if job.settings.by_epochs:
        from emoadapt.training.probing import probe

        probe(job)
    else:
        from emoadapt.training.machines import fit_machines

        fit_machines(job)
