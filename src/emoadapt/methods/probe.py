"""A classifier on a frozen backbone: how much emotion its layers hold (Yang et al. 2021, "SUPERB", Sec. 3)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.training import Finetuning, Optimisation

SCOPE = "run"


class Config(Optimisation, Finetuning):
    """A head on the layers of a frozen backbone, each averaged over time once for each clip and kept."""

    method: Literal["probe"]
    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    layers: Literal["weighted", "last", "best"] | Annotated[int, Field(ge=0)] = "weighted"
    """Layers that are read, the input of the transformer being layer 0: `weighted`, a learned convex mean of all; one of
    them; or `best`, the one whose probe is best on the dev part."""
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
    """Share of each target that is spread evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """As in `finetune`."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """Statistics used for z-scoring the vectors: of the training clips, of each corpus, or of each speaker. The last two use
    unlabelled test clips."""

    frozen: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_layer(self) -> Config:
        if self.head == "logistic" and self.layers == "weighted":
            raise ValueError("head logistic reads one layer; set layers to last, best or a number, or choose another head")
        return self
