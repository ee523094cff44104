"""Stage 1: adapt a backbone to emotion on unlabelled clips (G25, Sec. III-D and III-F)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from emoadapt.config.augmenting import AugmentedOptimisation
from emoadapt.config.base import Fraction, Name
from emoadapt.config.training import Adaptation
from emoadapt.layers.settings import Lora

if TYPE_CHECKING:
    from emoadapt.config.backbones import Backbone
    from emoadapt.training.jobs import AdaptationJob

SCOPE = "study"


class Config(AugmentedOptimisation, Adaptation):
    """Stage 1: the backbone predicts targets of other modalities from speech alone."""

    method: Literal["adapt"] = "adapt"
    objectives: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}, min_length=1
    )
    """Objective -> weight of its loss. The paper: egemaps + 0.5 sentiment + face. `l2_sp` and `distillation` need no target: they keep
    the model near its start. Nor do `wav2vec2` and `masked_units`, of which one may be the only one."""
    layer: Literal["last", "weighted"] | Annotated[int, Field(ge=0)] | None = None
    """Layer that the objectives read; 0 is the transformer's input, and layers above it stay as they were. `weighted`: a learned convex
    mean of all, which only the objectives use. null: what the backbone's `layers` says."""
    train_layers: Literal["all"] | Annotated[int, Field(ge=1)] | None = None
    """Number of transformer layers to train in Stage 1, counted from the last. null: as the backbone's `train_layers` or `lora` says."""
    lora: Lora | None = None
    """Train adapters in Stage 1 instead of the transformer; they are merged into the model that is saved. null: as the backbone says."""
    head_learning_rate: float | None = Field(None, gt=0)
    """Learning rate of the objectives' heads, which begin at random, and of layer weights. null: `learning_rate`."""
    reduction: Literal["mean", "sum"] = "mean"
    """Reduction over the numbers of a target, of regression or of several binary tasks. The paper's formula sums."""
    mean_over: Literal["clips", "targets"] = "clips"
    """How a loss term is averaged when some clips have no target: over all clips of the batch (`clips`), so that every target
    counts alike, or over those that have one (`targets`), so that every objective counts alike. Learned weights always use
    `targets`."""
    weighting: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    """`fixed`: the weights stay constant (the paper). `uncertainty` and `gradnorm` learn them from these values, by homoscedastic
    uncertainty (Kendall et al. 2018) or by GradNorm (Chen et al. 2018). The epoch is always chosen with the given weights."""
    weighting_learning_rate: float = Field(0.01, gt=0)
    """Learning rate of learned weights."""
    normalise: Literal["global", "corpus"] = "global"
    """Statistics of the z-scored targets: over all corpora (`global`), or of each corpus."""
    held_out: Fraction = 0.15
    """Share of the clips, by speaker where known, on which the best epoch is chosen. Copies of a recording stay together."""
    select: Literal["loss", "probe"] = "loss"
    """How the epoch is chosen. `loss`: by the total on the held-out part. `probe`: by a probe on the labelled dev part of the one task
    that `tasks` names, and to which the model then belongs."""
    epochs: int = Field(100, ge=1)
    crop: Literal["beginning", "centre", "random"] = "random"
    """Part that a crop keeps, as in Stage 2."""

    def list_libraries(self) -> tuple[str, ...]:
        """Those of adapters and of the probe that chooses an epoch."""
        return (*(("peft",) if self.lora else ()), *(("scikit-learn",) if self.select == "probe" else ()))

    @model_validator(mode="after")
    def _weighted(self) -> Config:
        if self.weighting != "fixed" and len(self.objectives) < 2:
            raise ValueError(f"weighting {self.weighting} is between objectives; name at least two, or leave it out")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Config:
        if self.lora and self.train_layers is not None:
            raise ValueError("`lora` and `train_layers` exclude each other; remove one")
        return self

    @model_validator(mode="after")
    def _one_task(self) -> Config:
        if self.select == "probe" and (self.tasks is None or len(self.tasks) != 1):
            raise ValueError(
                "select: probe uses the labels of a task's dev part, which may be tested in another task; name that one task alone in "
                "`tasks`"
            )
        return self

    @property
    def judge(self) -> str | None:
        """See `Adaptation`."""
        return self.tasks[0] if self.select == "probe" and self.tasks else None

    def prepare(self, backbone: Backbone) -> Backbone:
        """Section of a backbone, with what this adaptation trains of it."""
        if self.lora is not None:
            return backbone.model_copy(update={"lora": self.lora, "train_layers": "all"})
        if self.train_layers is not None:
            return backbone.model_copy(update={"lora": None, "train_layers": self.train_layers})
        return backbone


def train(job: AdaptationJob) -> None:
    """Do a job of this method; see `emoadapt.training.adaptation.adapt`."""
    from emoadapt.training.adaptation import adapt

    adapt(job)
