"""Configuration of backbones."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Name, Section

Architecture = Literal["wav2vec2", "wavlm", "hubert", "data2vec", "av_hubert", "auto"]
"""`av_hubert`: the audio branch of AV-HuBERT (Shi et al. 2022), the baseline of G25's Tables III and IV. `auto`: what
`config.json` of the weights says, of any speech model of `transformers` with the parts of wav2vec 2.0, e.g. UniSpeech-SAT."""


class UntrainedBackbone(Section):
    """Dimensions of a seeded, randomly initialised backbone."""

    conv_dim: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64, 128, 128, 128)
    """Channels of the 1-D CNN encoder's layers."""
    conv_kernel: tuple[Annotated[int, Field(ge=1)], ...] = (10, 8, 4, 4, 4)
    conv_stride: tuple[Annotated[int, Field(ge=1)], ...] = (5, 4, 4, 2, 2)
    """The product is the hop in samples (320 = 20 ms)."""
    feat_extract_norm: Literal["group", "layer"] = "layer"
    hidden_size: int = Field(128, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    intermediate_size: int = Field(512, ge=8)
    conv_pos_kernel: int = Field(32, ge=1)
    conv_pos_groups: int = Field(8, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _shapes(self) -> UntrainedBackbone:
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError("conv_dim, conv_kernel and conv_stride must have the same number of layers")
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        if self.hidden_size % self.conv_pos_groups:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of conv_pos_groups {self.conv_pos_groups}"
            )
        return self


Projection = Literal["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense"]


class SpecAugment(Section):
    """Masks on what the transformer is given in training, drawn from seed, epoch and utterance."""

    time_share: float = Field(0.05, ge=0, lt=1)
    """Share of a clip's frames that spans of `time_frames` cover (less where they overlap)."""
    time_frames: int = Field(10, ge=1)
    """Frames (20 ms; of AV-HuBERT 40 ms) in a span; clips shorter than one are left whole."""
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
    """Linear layers that get an adapter. null = `q_proj` and `v_proj`, for WavLM the two of the feed-forward part."""


class Padding(Section):
    """How short clips are lengthened."""

    seconds: float = Field(gt=0, le=60)
    """Shorter clips are lengthened to this (CARE: 1 s)."""
    mode: Literal["silence", "repeat"] = "silence"
    """With zeros, after the clip was normalised, or with the clip again."""


class Backbone(Section):
    """What is trained on a task: an encoder, or a vector of descriptors."""

    architecture: str
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] | None = None
    """Numbers of training clips that it is trained with on tasks (default: all that a task names)."""

    adaptable: ClassVar[bool] = False
    """Whether it has parameters of its own, which Stage 1 and fine-tuning train."""

    @property
    def provenance(self) -> Literal["pretrained", "untrained", "descriptors"]:
        """Where its parameters come from."""
        return "descriptors"

    @property
    def features(self) -> tuple[str, ...]:
        """Features that it reads."""
        return ()

    def find_front_end(self, stage: Literal["stage1", "stage2"], start: str) -> Literal["own", "start"] | None:
        """Whose frozen front end a training reads the cached output of.

        Args:
            stage: of the training.
            start: `original`, or an adaptation.

        Returns:
            `own`: the backbone's as it is. `start`: that of the Stage-1 model. None: none; it reads its features.
        """
        return None

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Weights that it loads: name or path, revision of a hub model."""
        return []

    def describe(self) -> str:
        """The keys that decide a training, as JSON: all but with how many clips it is trained."""
        return self.model_dump_json(exclude={"subsets"})

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output of the frozen backbone, as JSON.

        Args:
            kind: `frontend`, the output of its front end, or `layers`, the means over time of its layers.
        """
        return self.describe()


class VectorBackbone(Backbone):
    """A vector of descriptors, such as functionals, that a head is trained on: the handcrafted baseline."""

    architecture: Literal["vector"]
    reads: Name
    """Feature that gives a vector for each clip: `egemaps`, `egemaps_functionals`, `compare_functionals`, ..."""

    @property
    def features(self) -> tuple[str, ...]:
        """The feature that it reads."""
        return (self.reads,)


class SpeechTransformer(Backbone):
    """A self-supervised speech model."""

    architecture: Architecture
    weights: str | None = None
    """Hub id, or folder relative to `models_dir`. Exactly one of `weights` and `untrained` is given."""
    revision: str | None = None
    """Commit of the hub repository, for a study that is to be repeated exactly."""
    untrained: UntrainedBackbone | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""
    cnn: Literal["frozen", "stage1", "both"] | None = None
    """When the CNN encoder is trained. null = `frozen` (the paper) for weights, `stage1` for untrained. AV-HuBERT has log
    filter banks in its place, which are always `frozen`."""
    layers: Literal["last", "weighted"] = "last"
    """What is pooled: the last transformer layer, or a learned weighted mean of the transformer's input and all layers."""
    train_layers: Literal["all"] | Annotated[int, Field(ge=1)] = "all"
    """Transformer layers that are trained in both stages, counted from the last; a number freezes all below, the feature
    projection included."""
    lora: Lora | None = None
    """Train adapters instead of the transformer. They are merged into the weights that are saved."""
    spec_augment: SpecAugment | None = None
    """Mask spans of time and of channels in training."""
    pad: Padding | None = None
    """Lengthen short clips in both stages and in prediction, so that the model hears it. null = clips keep their length. The
    padding within a batch is another thing, and never heard."""
    adaptable: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_source(self) -> SpeechTransformer:
        if (self.weights is None) == (self.untrained is None):
            raise ValueError("exactly one of `weights` and `untrained` is needed")
        if self.architecture == "auto" and self.weights is None:
            raise ValueError(
                "architecture `auto` is read from weights; name `weights`, or the architecture that is to be untrained"
            )
        if self.lora and self.train_layers != "all":
            raise ValueError("`lora` and `train_layers` both say what is trained; give one of them")
        projections = [name for name in (self.lora and self.lora.modules) or () if name.endswith("_proj")]
        if projections and self.architecture == "wavlm":
            raise ValueError(
                f"WavLM's attention goes past adapters in {', '.join(projections)}; use intermediate_dense and output_dense"
            )
        return self

    @model_validator(mode="after")
    def _filter_banks(self) -> SpeechTransformer:
        if self.architecture != "av_hubert":
            return self
        if self.cnn not in (None, "frozen"):
            raise ValueError(f"av_hubert has log filter banks, and no CNN to be trained; leave out `cnn: {self.cnn}`")
        fixed, usual = ("conv_dim", "conv_kernel", "conv_stride", "feat_extract_norm"), UntrainedBackbone()
        if given := [key for key in fixed if self.untrained and getattr(self.untrained, key) != getattr(usual, key)]:
            raise ValueError(f"av_hubert has log filter banks, and no CNN to be shaped; leave out {', '.join(given)}")
        return self

    @property
    def cnn_mode(self) -> Literal["frozen", "stage1", "both"]:
        """The value in force."""
        return self.cnn or ("frozen" if self.untrained is None or self.architecture == "av_hubert" else "stage1")

    @property
    def provenance(self) -> Literal["pretrained", "untrained"]:
        """Whether it starts from trained weights."""
        return "untrained" if self.weights is None else "pretrained"

    @property
    def features(self) -> tuple[str, ...]:
        """Audio."""
        return ("audio",)

    def find_front_end(self, stage: Literal["stage1", "stage2"], start: str) -> Literal["own", "start"] | None:
        """Whose CNN encoder a training reads the cached output of, where it does not train it."""
        if self.trains_cnn(stage, start):
            return None
        return "own" if self.cnn_mode == "frozen" else "start"

    def list_weights(self) -> list[tuple[str, str | None]]:
        """Its weights, if it is not untrained."""
        return [] if self.weights is None else [(self.weights, self.revision)]

    def describe_kept(self, kind: str) -> str:
        """The keys that decide a kept output of the frozen backbone, as JSON: of its front end, or of its layers."""
        training = {"layers", "train_layers", "lora", "spec_augment", "subsets"}
        return self.model_dump_json(exclude=training | ({"cnn"} if kind == "layers" else set()))

    def trains_cnn(self, stage: Literal["stage1", "stage2"], start: str) -> bool:
        """Whether this stage trains the CNN encoder of a model with this starting point.

        An original under `cnn: stage1` never saw Stage 1, so it gets the same freedom in Stage 2.
        """
        if self.cnn_mode == "frozen":
            return False
        return stage == "stage1" or self.cnn_mode == "both" or start == "original"


AnyBackbone = Annotated[SpeechTransformer | VectorBackbone, Field(discriminator="architecture")]
