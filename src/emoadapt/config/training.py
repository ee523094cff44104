"""Configuration of the two stages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emoadapt.config.base import Name, Section


class Optimisation(Section):
    """Optimisation: length, learning rate, batches, precision."""

    epochs: int = Field(ge=1)
    """Largest number of epochs."""
    steps: int | None = Field(None, ge=1)
    """Steps of the optimiser, in place of `epochs`. null: `epochs` counts."""
    learning_rate: float = Field(1e-5, gt=0)
    """Learning rate of the optimiser."""
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(32, ge=1)
    """Clips per batch."""
    batch_seconds: float | None = Field(None, gt=0)
    """Seconds of audio per batch, padding included, in place of `batch_size`."""
    accumulate: int = Field(1, ge=1)
    """Batches per step of the optimiser; their losses are averaged."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Numerical precision. `16-mixed` needs a GPU; it scales the loss and skips steps in which a gradient overflows."""
    gradient_clip: float | None = Field(None, gt=0)
    """Largest gradient norm; null = no clipping (the paper states none)."""
    schedule: Literal["constant", "linear", "plateau"] = "constant"
    """Schedule of the learning rate. `constant` is the paper's. `linear` decreases to 0 at the last step. `plateau` multiplies it by
    `plateau_factor` after `plateau_epochs` epochs without improvement."""
    plateau_epochs: int = Field(3, ge=1)
    """Epochs without improvement after which `plateau` lowers the learning rate."""
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    """Factor by which `plateau` lowers the learning rate."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of all steps over which the learning rate rises linearly to its value."""
    patience: int | None = Field(None, ge=1)
    """Epochs without improvement after which training stops. null: train all epochs (the paper)."""
    compile: bool = False
    """Compile the transformer's layers with `torch.compile`, for clips of any length; needs a C++ compiler."""
    max_seconds: float | None = Field(None, gt=0)
    """Length in seconds to which longer clips are cropped. null: no crop."""
    crop: Literal["beginning", "centre", "random"] = "beginning"
    """Part that a crop keeps. `random`: in training drawn from seed, epoch and clip; in evaluation the beginning."""


Subset = Annotated[int, Field(ge=1)] | Literal["full"]


class Adaptation(Section):
    """Keys of all Stage-1 adaptations, whatever their method."""

    method: str = "adapt"
    corpora: tuple[Name, ...]
    """Corpora to train on; labels are not used."""
    objectives: dict[Name, Annotated[float, Field(gt=0)]]
    backbones: tuple[Name, ...] | None = None
    """Backbones to adapt. null: all that can be adapted."""
    tasks: tuple[Name, ...] | None = None
    """Tasks on which the adapted models are trained. null: all."""
    subsets: tuple[Subset, ...] | None = None
    """Numbers of training clips with which the adapted models are trained. null: all that a task names."""
    seed: int = Field(0, ge=0)
    """Seed of heads, batch order, dropout and the held-out draw."""

    @property
    def judge(self) -> str | None:
        """Task on whose labelled dev part the epoch is chosen; None: no label is used."""
        return None

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied."""
        return self.model_dump_json(exclude={"backbones", "tasks", "subsets"})


class Finetuning(Section):
    """Keys of all trainings on a task, whatever their method."""

    method: str = "finetune"
    backbones: tuple[Name, ...] | None = None
    """Backbones to train. null: all that the method can train."""
    starts: tuple[Name, ...] | None = None
    """Starting points: `original`, or names of adaptations. null: all."""
    tasks: tuple[Name, ...] | None = None
    """Tasks to train on. null: all that the method can learn."""
    subsets: tuple[Subset, ...] | None = None
    """Numbers of training clips. null: all that a task names."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    """Seeds of head, batch order and dropout, one run each; `tasks.<name>.trials` combines them with partitions and draws. Original and
    adapted models share them, so that runs are paired."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes", "attributes")
    """Kinds of tasks that the method can learn."""
    deterministic: ClassVar[bool] = False
    """Whether all seeds give the same result, so that the first alone is run."""
    frozen: ClassVar[bool] = False
    """Whether the backbone is not trained, so that its outputs are computed once for each clip and kept."""

    def list_notes(self) -> list[str]:
        """List what readers of its scores should know, each the end of a sentence that begins with its name."""
        return []

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied, and which runs there are."""
        return self.model_dump_json(exclude={"backbones", "starts", "tasks", "subsets", "seeds"})
