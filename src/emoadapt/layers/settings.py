"""Settings of speech backbones, and the parts that each stage trains.

Light, because a study is read with it. Digests cover it, unlike `emoadapt.config`, because it decides what is trained.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from emoadapt.config.backbones import Backbone, Kept
from emoadapt.config.base import Name, Section
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.errors import Problems
from emoadapt.fixes import find_unknown
from emoadapt.plugins import list_plugins, read_declaration


class UntrainedTransformer(Section):
    """Dimensions of a seeded, randomly initialised transformer."""

    hidden_size: int = Field(128, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    intermediate_size: int = Field(512, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)

    groups: ClassVar[tuple[str, ...]] = ("heads",)
    """Keys that divide `hidden_size`."""

    @model_validator(mode="after")
    def _multiples(self) -> UntrainedTransformer:
        for name in self.groups:
            if self.hidden_size % getattr(self, name):
                raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of {name} {getattr(self, name)}")
        return self


class UntrainedConvolved(UntrainedTransformer):
    """Dimensions of one whose positions come from a convolution, as in wav2vec 2.0."""

    conv_pos_kernel: int = Field(32, ge=1)
    conv_pos_groups: int = Field(8, ge=1)

    groups: ClassVar[tuple[str, ...]] = ("heads", "conv_pos_groups")


Projection = Literal[
    "q_proj", "k_proj", "v_proj", "out_proj", "o_proj", "intermediate_dense", "output_dense", "fc1", "fc2",
    "query", "key", "value", "dense", "q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2", "q", "k", "v", "o",
]  # fmt: skip
"""Linear layers of speech models, and of BERT, DistilBERT and MPNet."""


class SpecAugment(Section):
    """Masks on what the transformer is given in training, drawn from seed, epoch and utterance."""

    time_share: float = Field(0.05, ge=0, lt=1)
    """Share of a clip's frames that spans of `time_frames` cover (less where they overlap)."""
    time_frames: int = Field(10, ge=1)
    """Frames (20 ms; of AV-HuBERT 40 ms; of AST 12 patches for each 100 ms) in a span; clips shorter than one are left whole."""
    channel_share: float = Field(0.0, ge=0, lt=1)
    """The same over the channels of all frames of a clip."""
    channel_width: int = Field(10, ge=1)
    """Channels in a span."""


class Lora(Section):
    """Low-rank adapters (Hu et al. 2022) in all transformer layers, trained instead of the transformer."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """On the adapters' input."""
    modules: tuple[Projection, ...] | None = None
    """Linear layers with an adapter. null: `q_proj` and `v_proj`; for WavLM the two of the feed-forward part (`intermediate_dense`,
    `output_dense`; Whisper and AST call their own `fc1` and `fc2`); for text encoders `query` and `value`, which DistilBERT calls `q_lin` and
    `v_lin`, and MPNet `q` and `v`."""


class Padding(Section):
    """Padding of short clips."""

    seconds: float = Field(gt=0, le=60)
    """Length in s to which shorter clips are padded (CARE: 1 s)."""
    mode: Literal["silence", "repeat"] = "silence"
    """`silence`: zeros after normalisation. `repeat`: the clip again."""


PoolingChoice = Name | dict[Name, Name | int | float]
"""Name of a pooling; or a mapping of its name and its options, `{name: gru, hidden: 64}`."""


def check_pooling(choice: str | dict[str, str | int | float]) -> str | dict[str, str | int | float]:
    """Return the choice of a pooling, a name alone where it has no options.

    Raises:
        ValueError: there is no such pooling, or it has no such option, or a value of another kind.
    """
    options = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError("a pooling with options needs its name; write {name: gru, hidden: 64}")
    if problems := find_unknown("name" if options else "", name, list_plugins("poolings"), "pooling"):
        raise Problems(problems)
    known = read_declaration("poolings", name, "OPTIONS") or {}
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"pooling {name} has no option {key}; it has {', '.join(known) or 'none'}")
        usual = known[key]
        if type(value) is not type(usual) or (not isinstance(value, str) and value <= 0):
            raise ValueError(f"pooling {name}: {key} is {value}; give a value like {usual}")
    return {"name": name, **options} if options else name


class LayerSettings(Backbone):
    """A model with layers: which of them are read, and which are trained."""

    layers: Literal["last", "weighted"] = "last"
    """Layers to pool. `last`: the last transformer layer. `weighted`: a learned weighted mean of the transformer's input and all layers."""
    pooling: PoolingChoice = "mean"
    """Pooling of frames into one vector: `mean` over time; `attention`, a weighted mean; `attentive_statistics`, weighted mean and
    standard deviation; `last`, the last frame; `gru`, a recurrent network's output at the last frame; or a plug-in of your own. With
    options: `{name: gru, hidden: 128, layers: 2}`. The frames of a text are its tokens."""
    embedding: int | None = Field(None, ge=1)
    """Dimension of a linear layer after the pooling, whose output is the embedding. null: there is none."""
    train_layers: Literal["all"] | Annotated[int, Field(ge=0)] = "all"
    """Number of transformer layers to train in both stages, counted from the last. A number freezes all layers below, the feature
    projection, or the embeddings of tokens, included. 0: tasks train what follows the last layer alone, whose frames are computed once
    for each clip and kept, unless clips are cropped or augmented."""
    learning_rate_factor: float = Field(1.0, gt=0)
    """Factor of the learning rate for the weights of the model itself; pooling, embedding and heads are trained with the full rate."""
    adaptable: ClassVar[bool] = True

    @field_validator("pooling")
    @classmethod
    def _known(cls, value: PoolingChoice) -> PoolingChoice:
        return check_pooling(value)

    @property
    def keeps_states(self) -> bool:
        """Whether its last layer is the same in each epoch of a task: nothing of it is trained, weighed or masked."""
        return self.train_layers == 0 and self.layers == "last"

    def list_kept(self, stage: Literal["stage1", "stage2"], start: str) -> dict[str, Kept]:
        """The last layer, in place of the first stream, where a task trains nothing before it."""
        return {next(iter(self.streams)): Kept("states", "start")} if stage == "stage2" and self.keeps_states else {}

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output of the frozen backbone, as JSON: of its front end, or of its layers."""
        return self.model_dump_json(exclude=TRAINING | ({"cnn"} if kind != "frontend" else set()))


TRAINING = {
    "layers",
    "pooling",
    "embedding",
    "train_layers",
    "learning_rate_factor",
    "lora",
    "spec_augment",
    "subsets",
}
"""Keys of a backbone that have no influence on its kept outputs."""


class TransformerSettings(LayerSettings):
    """A transformer: its weights, and what is read and trained of it."""

    weights: str | None = None
    """Hub id, or folder relative to `models_dir`. Exactly one of `weights` and `untrained` is given."""
    revision: str | None = None
    """Commit of the hub repository, to repeat a study exactly."""
    untrained: UntrainedTransformer | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""
    lora: Lora | None = None
    """Train adapters instead of the transformer. They are merged into the weights that are saved."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.weights is None) == (self.untrained is None):
            raise ValueError("the backbone needs either `weights` or `untrained`; give exactly one")
        if self.lora and self.train_layers != "all":
            raise ValueError("`lora` and `train_layers` exclude each other; remove one")
        return self

    @property
    def provenance(self) -> Literal["pretrained", "untrained"]:
        """Whether it starts from trained weights."""
        return "untrained" if self.weights is None else "pretrained"

    @property
    def depth(self) -> int | None:
        """The transformer's input and its layers, where their number is part of the study."""
        return None if self.untrained is None else self.untrained.layers + 1

    @property
    def origin(self) -> str:
        """Where its parameters come from, for messages and model cards."""
        return self.weights or f"randomly initialised (seed {self.untrained.seed if self.untrained else 0})"

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Its weights, if it is not untrained."""
        return [] if self.weights is None else [(self.weights, self.revision)]

    def list_libraries(self) -> tuple[str, ...]:
        """The one of the adapters, if there are any."""
        return ("peft",) if self.lora else ()


class SpeechSettings(TransformerSettings):
    """A speech model: a front end and a transformer."""

    spec_augment: SpecAugment | None = None
    """Mask spans of time and of channels in training."""
    pad: Padding | None = None
    """Pad short clips as part of the model's input, in both stages and in prediction. null: clips keep their length. Padding within
    a batch is separate and never changes an embedding."""

    @property
    def cnn_mode(self) -> Literal["frozen", "stage1", "both"]:
        """When the front end is trained: never, unless a family says otherwise."""
        return "frozen"

    @property
    def streams(self) -> dict[str, Stream]:
        """Audio."""
        return {"audio": AUDIO}

    def trains_cnn(self, stage: Literal["stage1", "stage2"], start: str) -> bool:
        """Whether this stage trains the front end of a model with this starting point.

        An original under `cnn: stage1` never saw Stage 1, so it gets the same freedom in Stage 2, unless `train_layers: 0` freezes all.
        """
        if self.cnn_mode == "frozen" or (stage == "stage2" and self.train_layers == 0):
            return False
        return stage == "stage1" or self.cnn_mode == "both" or start == "original"

    @property
    def keeps_states(self) -> bool:
        """See `TransformerSettings`."""
        return super().keeps_states and self.spec_augment is None

    def list_kept(self, stage: Literal["stage1", "stage2"], start: str) -> dict[str, Kept]:
        """The last layer, or the output of the front end, in place of the audio, where a training trains nothing before it."""
        if found := super().list_kept(stage, start):
            return found
        if self.trains_cnn(stage, start):
            return {}
        return {next(iter(self.streams)): Kept("frontend", "own" if self.cnn_mode == "frozen" else "start")}


class TrainableFrontEnd(SpeechSettings):
    """A speech model whose front end has weights."""

    cnn: Literal["frozen", "stage1", "both"] | None = None
    """When the CNN encoder is trained. null = `frozen` (the paper) for weights, `stage1` for untrained."""

    @property
    def cnn_mode(self) -> Literal["frozen", "stage1", "both"]:
        """The effective value."""
        return self.cnn or ("frozen" if self.untrained is None else "stage1")
