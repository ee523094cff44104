"""Configuration of the two stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.config.augmentations import Augmentation
from emoadapt.config.base import Choice, Name, Section

if TYPE_CHECKING:
    from emoadapt.config.backbones import Backbone
    from emoadapt.config.tasks import Task


Share = Annotated[float, Field(ge=0, lt=1)]


class Optimisation(Section):
    """Optimisation: length, learning rate, batches, precision."""

    epochs: int = Field(ge=1)
    """Largest number of epochs."""
    steps: int | None = Field(None, ge=1)
    """Steps of the optimiser, in place of `epochs`. null: `epochs` counts."""
    epoch_steps: int | None = Field(None, ge=1)
    """Steps of the optimiser in an epoch, after which the model is evaluated (CARE: 5,000). The next epoch continues with the clips that
    follow. null: an epoch is one pass over the clips."""
    learning_rate: float = Field(1e-5, gt=0)
    """Learning rate of the optimiser."""
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the optimiser's means of gradients and of their squares (CARE's code: .9 and .99)."""
    epsilon: float = Field(1e-8, gt=0)
    """What the optimiser adds to the root of the mean of squares (CARE's code: 1e-6)."""
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

    @property
    def epoch_batches(self) -> int | None:
        """Batches of an epoch; None: those of one pass."""
        return None if self.epoch_steps is None else self.epoch_steps * self.accumulate

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """Augmentations of a clip's waveform in training; none, unless a method has the key `augment`."""
        return ()

    @property
    def changed_layouts(self) -> tuple[str, ...]:
        """Layouts of the streams that it changes before the backbone reads them, so that no kept output stands for them."""
        return ("samples",) if self.augmentations else ()


Subset = Annotated[int, Field(ge=1)] | Literal["full"]


class Adaptation(Section):
    """Keys of all Stage-1 adaptations, whatever their method."""

    method: str = "adapt"
    corpora: tuple[Name, ...]
    """Corpora to train on; labels are not used."""
    objectives: dict[Name, Annotated[float, Field(gt=0)]]
    backbones: tuple[Name, ...] | None = None
    """Backbones to adapt. null: all that can be adapted; of the parts of a `fusion` those that a fine-tuning names."""
    tasks: tuple[Name, ...] | None = None
    """Tasks on which the adapted models are trained. null: all."""
    subsets: tuple[Subset, ...] | None = None
    """Numbers of training clips with which the adapted models are trained. null: all that a task names."""
    seed: int = Field(0, ge=0)
    """Seed of heads, batch order, dropout and the held-out draw."""
    min_seconds: float | None = Field(None, gt=0)
    """Shortest clips of Stage 1, in seconds; shorter ones are left out and counted. null: no limit."""

    @field_validator("corpora")
    @classmethod
    def _sort(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(value))

    def list_libraries(self) -> tuple[str, ...]:
        """Distributions that these settings bring into use, besides those that the method's modules import."""
        return ()

    def prepare(self, backbone: Backbone) -> Backbone:
        """Section of a backbone, with what this adaptation trains of it."""
        return backbone

    def list_modules(self) -> tuple[str, ...]:
        """Modules of plug-ins that these settings name, such as `augmentations.ahn2024`; objectives apart."""
        return ()

    @property
    def judge(self) -> str | None:
        """Task on whose labelled dev part the epoch is chosen; None: no label is used."""
        return None

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied. The order of objectives and corpora decides nothing."""
        found = self.model_dump(mode="json", exclude={"backbones", "tasks", "subsets"})
        return json.dumps(found, sort_keys=True)


class Finetuning(Section):
    """Keys of all trainings on a task, whatever their method."""

    method: str = "finetune"
    backbones: tuple[Name, ...] | None = None
    """Backbones to train. null: all that the method can train, except parts of a `fusion`, which are trained in it."""
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
    reads_clips: ClassVar[bool] = True
    """Whether it reads what its backbone reads of clips; False: it reads tables of other models alone."""
    upstream_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name other models. Each run needs the same run of these: of the same task and number of clips."""
    upstream_table: ClassVar[str] = "predictions"
    """Table that it reads of their runs, without suffix."""

    @property
    def views(self) -> int:
        """How often a pass reads each training clip."""
        return 1

    @property
    def reads_layers(self) -> bool:
        """Whether it reads the kept layers of an encoder."""
        return self.frozen and self.reads_clips

    @property
    def upstream(self) -> dict[str, str]:
        """Models that it needs: name -> key that names it."""
        return {name: key for key in self.upstream_keys for name in list_values(getattr(self, key))}

    @property
    def chooses_on_dev(self) -> bool:
        """Whether the dev part chooses something of each run: its epoch, or its settings."""
        return self.reads_clips and not self.frozen and not getattr(self, "train_on_dev", False)

    def find_problem(self, backbone: Backbone, task: Task) -> str | None:
        """Why it cannot train a backbone on a task, and what to do; None if it can."""
        return None

    def list_notes(self) -> list[str]:
        """List what readers of its scores should know, each the end of a sentence that begins with its name."""
        return []

    def hint_questions(self) -> str:
        """End of a sentence on the key that limits the kinds of tasks; empty where the method does."""
        return ""

    def list_libraries(self) -> tuple[str, ...]:
        """Distributions that these settings bring into use, besides those that the method's modules import."""
        return ()

    def list_modules(self) -> tuple[str, ...]:
        """Modules of plug-ins that these settings name, such as `augmentations.ahn2024`."""
        return ()

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but where it is applied, and which runs there are."""
        return self.model_dump_json(exclude={"backbones", "starts", "tasks", "subsets", "seeds"})


Positive = Annotated[float, Field(gt=0)]


class FrozenFinetuning(Finetuning):
    """Keys of all trainings on vectors, or on the kept layers of a frozen backbone.

    A key whose value is a list is chosen by each run, among all combinations.
    """

    c: Choice[Positive] = 1.0
    """Inverse strength of the penalty of `logistic`, cost of an error of an SVM. A list: each run chooses one."""
    kernel: Choice[Literal["rbf", "linear"]] = "rbf"
    """Kernel of an SVM. A list: each run chooses one."""
    gamma: Choice[Literal["auto", "scale"] | Positive] = "auto"
    """Width of the rbf kernel; `auto`: 1 / dimensions. A list: each run chooses one."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: weight errors by inverse class frequency."""
    normalise: Literal["train", "corpus", "speaker", "none"] = "train"
    """Statistics used for z-scoring the vectors: of the training clips, of each corpus, or of each speaker. The last two use
    unlabelled test clips. `none`: vectors stay as they are (SUPERB)."""
    branch: str | None = None
    """Part of each layer to read, if the backbone has several: `acoustic` or `semantic` of CARE (Table IV). null: the whole layer."""
    choose_by: Literal["folds", "dev"] = "folds"
    """Clips that choose among the combinations of lists: inner folds over the speakers of the training clips, or the dev part.
    A dev part of one speaker chooses badly."""
    inner_folds: int = Field(5, ge=2)
    """Largest number of inner folds; no speaker is in two."""
    train_on_dev: bool = False
    """Also train on the dev part if all training clips are used (`full`). A choice by `dev` is made before."""

    frozen: ClassVar[bool] = True
    refitted: ClassVar[bool] = False
    """Whether `emoadapt.training.refitting` can fit its classifier once more, to keep it."""
    reads: ClassVar[Mapping[str, tuple[str, ...]]]
    """Classifier -> keys that it reads, of those that may be lists."""

    @property
    def classifiers(self) -> tuple[str, ...]:
        """Classifiers to choose among."""
        return list_values(getattr(self, "classifier", tuple(self.reads)))

    @property
    def by_epochs(self) -> list[str]:
        """Classifiers that are trained by epochs."""
        return []

    @property
    def lists(self) -> list[str]:
        """Keys that each run chooses."""
        keys = dict.fromkeys(["classifier", *(key for name in self.classifiers for key in self.reads[name])])
        values = {key: getattr(self, key, None) for key in keys}
        return [key for key, value in values.items() if isinstance(value, tuple) or value == "best"]

    @property
    def chooses_on_dev(self) -> bool:
        """See `Finetuning`."""
        return bool(self.by_epochs) or bool(self.lists and self.choose_by == "dev")

    @model_validator(mode="after")
    def _no_idle_choice(self) -> FrozenFinetuning:
        given = {"choose_by", "inner_folds"} & self.model_fields_set
        if self.choose_by == "dev" and "inner_folds" in given:
            raise ValueError("choose_by: dev has no inner folds; remove inner_folds")
        if given and not self.lists:
            one = len(given) == 1
            raise ValueError(
                f"nothing is chosen, because no key is a list; remove {' and '.join(sorted(given))}, or give {'it' if one else 'them'} "
                "something to choose, such as layer: best"
            )
        return self

    def list_notes(self) -> list[str]:
        """Sentences for readers of its scores."""
        return ["trained on the dev part too where all training clips are used"] if self.train_on_dev else []


def list_values(value: Any) -> tuple[Any, ...]:
    """The values of a key that is a `Choice`."""
    return value if isinstance(value, tuple) else (value,)
