"""Fine-tune a backbone with a head on a labelled task (G25, Sec. III-D and III-F)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from emoadapt.config.training import Finetuning, Optimisation

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"


class Config(Optimisation, Finetuning):
    """Stage 2: the backbone and a head are trained on labels."""

    method: Literal["finetune"] = "finetune"
    epochs: int = Field(20, ge=1)
    head: Literal["mlp", "hf"] = "mlp"
    """`mlp`: pool, linear, ReLU, linear, the paper's. `hf`: pool and two linear layers, the head of
    `AutoModelForAudioClassification`; the saved model loads in `transformers.pipeline("audio-classification")` as it is."""
    head_hidden: int | None = Field(None, ge=1)
    """Units between the head's two layers; null = the width of the backbone (`mlp`), or 256 as in `transformers` (`hf`)."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weight the cross-entropy by inverse class frequency."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is distributed evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """`soft`: train on the shares of the raters' votes; a clip without votes uses its label. Tests always use labels."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """Statistics used for z-scoring the vectors of an `architecture: vector`: of the training clips, of each corpus, or of each
    speaker. The last two use unlabelled test clips."""


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.finetuning.finetune`."""
    from emoadapt.training.finetuning import finetune

    finetune(job)
