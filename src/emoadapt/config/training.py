"""Configuration of the two stages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emoadapt.config.base import Name, Section


class Optimisation(Section):
    """How a stage is trained."""

    epochs: int = Field(ge=1)
    steps: int | None = Field(None, ge=1)
    """Steps of the optimiser, instead of `epochs`; the last epoch ends with the last step. null: `epochs` counts."""
    learning_rate: float = Field(1e-5, gt=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(32, ge=1)
    """Clips per batch."""
    batch_seconds: float | None = Field(None, gt=0)
    """Instead of `batch_size`: batches of as many clips as fill this many seconds of audio, padding included."""
    accumulate: int = Field(1, ge=1)
    """Batches per step of the optimiser; the mean of their losses counts."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """`16-mixed` needs a GPU; it scales the loss, and leaves out the steps in which a gradient overflows."""
    gradient_clip: float | None = Field(None, gt=0)
    """Largest gradient norm; null = no clipping (the paper states none)."""
    schedule: Literal["constant", "linear", "plateau"] = "constant"
    """Course of the learning rate: constant (the paper), falling to 0 at the last step, or lowered whenever `plateau_epochs`
    epochs have brought nothing better."""
    plateau_epochs: int = Field(3, ge=1)
    """Epochs without a better one after which `plateau` lowers the rate."""
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    """Factor by which `plateau` lowers the rate."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of all steps in which the learning rate rises linearly to its value."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better one; null = train all epochs (the paper)."""
    compile: bool = False
    """Compile the transformer's layers with `torch.compile`, for clips of any length; needs a C++ compiler."""
    max_seconds: float | None = Field(None, gt=0)
    """Longer clips are cropped."""
    crop: Literal["beginning", "centre", "random"] = "beginning"
    """What is kept of a clip that is cropped. `random`: a place drawn from seed, epoch and clip in training, the beginning in evaluation."""


Subset = Annotated[int, Field(ge=1)] | Literal["full"]


class Adaptation(Section):
    """What all Stage-1 adaptations share, whatever their method."""

    method: str = "adapt"
    corpora: tuple[Name, ...]
    """Unlabelled corpora whose clips are used."""
    objectives: dict[Name, Annotated[float, Field(gt=0)]]
    backbones: tuple[Name, ...] | None = None
    """Backbones it is applied to (default: all that can be adapted)."""
    tasks: tuple[Name, ...] | None = None
    """Tasks that its models are trained on (default: all)."""
    subsets: tuple[Subset, ...] | None = None
    """Numbers of training clips that its models are trained with on tasks (default: all that a task names)."""
    seed: int = Field(0, ge=0)
    """Seed of heads, batch order, dropout and the held-out draw."""

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied."""
        return self.model_dump_json(exclude={"backbones", "tasks", "subsets"})


class Finetuning(Section):
    """What all trainings on a task share, whatever their method."""

    method: str = "finetune"
    backbones: tuple[Name, ...] | None = None
    """Backbones it is applied to (default: all that the method can train)."""
    starts: tuple[Name, ...] | None = None
    """Starting points it is applied to: `original`, or names of adaptations (default: all)."""
    tasks: tuple[Name, ...] | None = None
    """Tasks it is applied to (default: all that the method can learn)."""
    subsets: tuple[Subset, ...] | None = None
    """Numbers of training clips (default: all that a task names)."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    """One run per seed: head initialisation, batch order, dropout; shared by original and adapted."""

    questions: ClassVar[tuple[Literal["classes", "attributes"], ...]] = ("classes", "attributes")
    """Kinds of tasks that the method can learn."""
    deterministic: ClassVar[bool] = False
    """Whether all seeds give the same result, so that the first alone is run."""
    frozen: ClassVar[bool] = False
    """Whether the backbone is not trained, so that its outputs are computed once for each clip and kept."""

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied, and which runs there are."""
        return self.model_dump_json(exclude={"backbones", "starts", "tasks", "subsets", "seeds"})
