"""Fine-tune a backbone with a head on a labelled task (G25, Sec. III-D and III-F)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from emoadapt.config.augmenting import AugmentedOptimisation
from emoadapt.config.training import Finetuning

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"


class Config(AugmentedOptimisation, Finetuning):
    """Stage 2: the backbone and a head are trained on labels."""

    method: Literal["finetune"] = "finetune"
    epochs: int = Field(20, ge=1)
    select: Literal["macro_f1", "loss"] = "macro_f1"
    """Value of the dev part that chooses the epoch: macro-F1 (of attributes the mean CCC), or the mean loss. The paper states neither, so
    `macro_f1` is a choice. The lab's public challenge code takes a dev loss, but only that of the last clip."""
    train_on_dev: bool = False
    """Train exactly `epochs` epochs, choose none, and also train on the dev part if all training clips are used (`full`)."""
    head: Literal["mlp", "hf", "challenge", "linear"] = "mlp"
    """`mlp`: pool, linear, ReLU, linear; the paper says two fully connected layers, so width and ReLU are a choice. `hf`: pool and
    two linear layers, the head of `AutoModelForAudioClassification`; the saved model loads in
    `transformers.pipeline("audio-classification")` as it is. `challenge`: pool, dropout, linear, LayerNorm, ReLU, dropout, linear, as
    in the lab's public challenge code, where `head_hidden` is 1024. `linear`: one linear layer."""
    head_hidden: int | None = Field(None, ge=1)
    """Units between the head's two layers; null = the width of the backbone, or 256 as in `transformers` (`hf`)."""
    head_dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of the head `challenge`; null = 0.5."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weight the cross-entropy by inverse class frequency."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is distributed evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """`soft`: train on the shares of the raters' votes; a clip without votes uses its label. Tests always use labels."""
    keep: Literal["embeddings"] | None = None
    """`embeddings`: also keep pooled embedding and outputs of each run's training clips, by the chosen epoch, for a `student`."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """Statistics used for z-scoring the vectors of an `architecture: vector`: of the training clips, of each corpus, or of each
    speaker. The last two use unlabelled test clips."""

    @model_validator(mode="after")
    def _no_idle_keys(self) -> Config:
        if self.head_dropout is not None and self.head != "challenge":
            raise ValueError(f"head {self.head} has no dropout; remove head_dropout, or set head: challenge")
        if self.head_hidden is not None and self.head == "linear":
            raise ValueError("head linear has one layer; remove head_hidden, or choose another head")
        if not self.train_on_dev:
            return self
        idle = {"select": "select" in self.model_fields_set, "patience": self.patience is not None}
        idle |= {"schedule: plateau": self.schedule == "plateau"}
        if named := [key for key, given in idle.items() if given]:
            raise ValueError(f"train_on_dev leaves no dev part to judge an epoch by; remove {' and '.join(named)}")
        return self

    def list_notes(self) -> list[str]:
        """Sentences for readers of its scores."""
        notes, length = [], f"{self.steps} steps" if self.steps else f"{self.epochs} epochs"
        if self.train_on_dev:
            notes.append(f"trained for {length} without choosing an epoch; with all training clips on the dev part too")
        elif self.select == "loss":
            notes.append("the epoch with the smallest dev loss is kept")
        if self.augment:
            chains = dict.fromkeys(section.chain for section in self.augment)
            notes.append(f"training clips are augmented ({', '.join(chains)})")
        if self.head == "challenge":
            notes.append("the head is dropout, linear, LayerNorm, ReLU, dropout, linear")
        return notes


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.finetuning.finetune`."""
    from emoadapt.training.finetuning import finetune

    finetune(job)
