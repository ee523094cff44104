"""Fine-tune on a labelled source and on unlabelled clips of another corpus (Ahn et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.augmentations import ahn2024
from emoadapt.config.augmenting import AnyAugmentation
from emoadapt.methods import finetune

if TYPE_CHECKING:
    from emoadapt.config import Backbone, Task
    from emoadapt.training.jobs import TaskJob

SCOPE = "run"
NOTE = (
    "Models of the method domain with target data have read clips of the corpus that they are tested on, without labels: their scores there "
    "are those of adaptation to this corpus, and not of transfer to an unknown one."
)

CHAINS = tuple(ahn2024.Config(chain="ahn2024", type=number) for number in (1, 2, 3, 4, 5))
"""The five of Table 2."""

Objective = Literal["contrastive", "information", "augmentation_type"]


class Config(finetune.Config):
    """Stage 2 on a labelled source and, in turn, on the task's target without its labels."""

    method: Literal["domain"]  # type: ignore[assignment]
    target: bool = True
    """Read the unlabelled clips of the task's `target`. false: the source alone, with the same losses."""
    objectives: dict[Objective, Annotated[float, Field(ge=0)]] = Field(
        {"augmentation_type": 0.1, "contrastive": 0.5, "information": 0.5}
    )
    """Losses that need no labels -> weight. They are added on source and target; the source also has the cross-entropy. A loss that is left
    out, or whose weight is 0, is not computed. `contrastive`: the two views of a clip against the other clips of the batch. `information`:
    certain predictions, and all classes in use. `augmentation_type`: which chain of `augment` made a view. The paper: 0.5, 0.5, 0.1; for
    text without the third."""
    alternate: Literal["epochs", "batches"] = "epochs"
    """`epochs`: a pass over the source, then one over the target, in turn (the paper). `batches`: their batches are mixed evenly."""
    epochs: int = Field(10, ge=1)
    """Largest number of epochs. An epoch is a pass over source and target, or `epoch_steps` steps (the paper: 30). A pass reads each clip once
    with each chain of `augment`, in two views."""
    batch_size: int = Field(64, ge=1)
    """Clips per batch, each in two views."""
    duplicate: int = Field(1, ge=1)
    """How often a pass reads the smaller of source and target (the paper: 1 to 8)."""
    augment: tuple[AnyAugmentation, ...] = Field(CHAINS, min_length=1)  # type: ignore[assignment]
    """Chains that make the views of audio. A pass reads each clip with each chain, in a random order. Text is changed by `token_cutoff` instead,
    as many times."""
    token_cutoff: float = Field(0.15, gt=0, lt=1)
    """Probability with which a token's id is set to 0, for backbones that read text."""
    temperature: float = Field(0.07, gt=0)
    """Temperature of the contrastive loss. The paper does not state it."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes",)  # type: ignore[misc]
    changed_layouts: ClassVar[tuple[str, ...]] = ("samples", "tokens")  # type: ignore[misc]

    @field_validator("objectives")
    @classmethod
    def _drop_unused(cls, value: dict[Any, float]) -> dict[Any, float]:
        return {name: value[name] for name in sorted(value) if value[name]}

    @model_validator(mode="after")
    def _no_idle_target(self) -> Config:
        given = [
            key
            for key, idle in (("alternate", self.alternate == "epochs"), ("duplicate", self.duplicate == 1))
            if not idle
        ]
        if not self.target and given:
            raise ValueError(f"target: false reads the source alone; remove {' and '.join(given)}")
        if "temperature" in self.model_fields_set and "contrastive" not in self.objectives:
            raise ValueError("temperature is of the contrastive loss, which objectives leaves out; remove it")
        if len(self.augment) < 2 and "augmentation_type" in self.objectives:
            raise ValueError("augmentation_type needs at least two chains in augment; leave it out of objectives")
        return self

    @property
    def views(self) -> int:
        """Two in each chain."""
        return 2 * len(self.augment)

    def find_problem(self, backbone: Backbone, task: Task) -> str | None:
        """See `Finetuning`."""
        layouts = {stream.layout for stream in backbone.streams.values()}
        if self.target and task.target is None:
            return "the task has no target; give it tasks.<name>.target, name other tasks, or set target: false"
        if not backbone.adaptable or not layouts & {*self.changed_layouts}:
            return "the backbone reads neither audio nor tokens, so that the views of a clip would be alike; name other backbones"
        if "samples" not in layouts and "augmentation_type" in self.objectives:
            return (
                "text is changed in one way only, so that there is no type; leave augmentation_type out of objectives"
            )
        return None

    def list_notes(self) -> list[str]:
        """Sentences on what the method reads, and on its losses."""
        notes = [note for note in super().list_notes() if not note.startswith("training clips are augmented")]
        losses = ", ".join(f"{weight:g} {name.replace('_', ' ')}" for name, weight in self.objectives.items()) or "none"
        more = f", each clip of the smaller one {self.duplicate} times" if self.duplicate > 1 else ""
        read = (
            f"the target's unlabelled part is read in turn with the source{more}"
            if self.target
            else "no target data are read"
        )
        return [*notes, f"{read}; losses without labels: {losses}"]


def train(job: TaskJob) -> None:
    """Do a job of this method; see `emoadapt.training.domains.adapt_to_target`."""
    from emoadapt.training.domains import adapt_to_target

    adapt_to_target(job)
