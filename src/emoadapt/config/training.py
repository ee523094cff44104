"""Configuration of the two stages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Fraction, Name, Section


class Optimisation(Section):
    """How a stage is trained."""

    epochs: int = Field(ge=1)
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
    """Course of the learning rate: constant (the paper), falling to 0 at the last step, or halved whenever three epochs
    have brought nothing better."""
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


class Adaptation(Optimisation):
    """One Stage-1 adaptation."""

    corpora: tuple[Name, ...]
    """Unlabelled corpora whose clips are used."""
    objectives: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}, min_length=1
    )
    """Objective -> weight of its loss. The paper: egemaps + 0.5 sentiment + face."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the dimensions of a regression target. The paper's formula sums."""
    mean_over: Literal["clips", "targets"] = "clips"
    """What a term of the total is the mean over, where clips lack targets: `clips`, all, with 0 for an absent target, so that every
    target counts alike and one that few clips have decides little; or `targets`, the clips of a batch that have it, so that
    every objective counts alike, and the few clips more than the others. Learned weights are always of the latter."""
    weighting: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    """`fixed`: the weights stay as given (the paper). Otherwise they are where learning begins: by homoscedastic uncertainty
    (Kendall et al. 2018), or so that all objectives learn at the same pace (GradNorm, Chen et al. 2018). The epoch is chosen
    by the weights as given in any case."""
    weighting_learning_rate: float = Field(0.01, gt=0)
    """Learning rate of learned weights."""
    normalise: Literal["global", "corpus"] = "global"
    """Whether z-scores are fitted over all corpora together or one by one."""
    held_out: Fraction = 0.15
    """Share of the unlabelled data (by speaker where known) on which the best checkpoint is chosen. Copies of a recording are on
    one side."""
    epochs: int = Field(100, ge=1)
    crop: Literal["beginning", "centre", "random"] = "random"
    """What is kept of a clip that is cropped, as in Stage 2."""
    backbones: tuple[Name, ...] | None = None
    """Backbones it is applied to (default: all)."""
    tasks: tuple[Name, ...] | None = None
    """Tasks that its models are fine-tuned on (default: all)."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] | None = None
    """Numbers of training clips that its models are fine-tuned with (default: all that a task names)."""
    seed: int = Field(0, ge=0)
    """Seed of heads, batch order, dropout and the held-out draw."""

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied."""
        return self.model_dump_json(exclude={"backbones", "tasks", "subsets"})

    @model_validator(mode="after")
    def _weighted(self) -> Adaptation:
        if self.weighting != "fixed" and len(self.objectives) < 2:
            raise ValueError(f"weighting {self.weighting} is between objectives; name at least two, or leave it out")
        return self


class ClassicalBaseline(Section):
    """A support vector machine on functionals, as in the ComParE challenges. For tasks with classes."""

    features: Literal["compare_functionals", "egemaps_functionals", "egemaps"] = "compare_functionals"
    """Descriptors: ComParE_2016's 6,373 functionals, eGeMAPSv02's 88, or the 25 means of the other baseline."""
    normalise: Literal["train", "corpus", "speaker"] = "train"
    """As `egemaps_normalise`."""
    kernel: Literal["rbf", "linear"] = "rbf"
    c: float = Field(1.0, gt=0)
    """Cost of an error."""
    gamma: Literal["auto", "scale"] | Annotated[float, Field(gt=0)] = "auto"
    """Width of the rbf kernel; `auto`: 1 / number of descriptors."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weigh errors by inverse class frequency."""
    train_on_dev: bool = False
    """Nothing is chosen on the dev part: train on it too where all training clips are used (`full`)."""


class Finetuning(Optimisation):
    """Stage 2, the same for all starting points."""

    epochs: int = Field(20, ge=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3, 4)
    """One run per seed: head initialisation, batch order, dropout; shared by original and adapted."""
    head: Literal["mlp", "hf"] = "mlp"
    """`mlp`: pool, linear, ReLU, linear, the paper's. `hf`: pool and two linear layers, the head of
    `AutoModelForAudioClassification`; the saved model loads in `transformers.pipeline("audio-classification")` as it is."""
    head_hidden: int | None = Field(None, ge=1)
    """Units between the head's two layers; null = the backbone's width (`mlp`), or 256 as in `transformers` (`hf`)."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weight the cross-entropy by inverse class frequency."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that is spread evenly over all classes."""
    targets: Literal["hard", "soft"] = "hard"
    """`soft`: train on the shares of the classes in the raters' votes; a clip without votes has its label. Tested on labels."""
    egemaps_baseline: bool = True
    """Also train the same head on the z-scored 25-D eGeMAPS vector."""
    egemaps_epochs: int = Field(100, ge=1)
    """Epochs of that baseline (a head of two layers needs more steps than a fine-tuned transformer)."""
    egemaps_learning_rate: float = Field(1e-3, gt=0)
    egemaps_normalise: Literal["train", "corpus", "speaker"] = "train"
    """Whose mean and standard deviation the vectors are z-scored with: the run's training clips', the source's; each corpus's own,
    which decides cross-corpus results (a test corpus then gives its clips, without labels); or each speaker's own."""
    classical: ClassicalBaseline | None = None
    """Also train a classical baseline, `handcrafted.classical` in tables."""
