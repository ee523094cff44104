"""Every configuration value of a study: its type, default, meaning and limits, in one place.

`load_study` turns a parsed YAML mapping into a `Study`; anything wrong becomes one `ConfigError` with a
sentence per problem: key path, what was found, what is allowed. `emoadapt docs` writes the JSON schema
(`workflow/schemas/config.schema.json`) and `docs/configuration.md` from these models.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from emoadapt.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="letters, digits and underscores")]
REPEATING = ("mean", "std", "conv_dim", "conv_kernel", "conv_stride", "test_also", "also")
"""List-valued keys that may repeat a value or be empty."""

Fraction = Annotated[float, Field(gt=0, lt=1)]


def _repeated(names: Iterable[Any]) -> list[Any]:
    """Values that occur more than once, each once."""
    listed = list(names)
    return [name for number, name in enumerate(listed) if name in listed[:number] and name not in listed[number + 1 :]]


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _lists(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and name not in REPEATING:
                if not value:
                    raise ValueError(f"{name} must not be empty; leave the key out for its default")
                if repeated := _repeated(value):
                    raise ValueError(f"{name} repeats {', '.join(map(str, repeated))}")
        return self


# --- corpora -----------------------------------------------------------------------------------


class Corpus(Section):
    """What all corpora have."""

    root: str
    """Folder of the media; `${NAME}` is replaced by the environment variable."""
    shards: int = Field(4, ge=1, le=4096)
    """Number of hash shards. Changing it recomputes the corpus's features; about 200 clips a shard are good."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio",)
    """What the clips hold. An objective that needs video is masked for a corpus without it."""
    speakers: tuple[str, ...] | None = None
    """Keep only these speakers (default: all)."""
    language: str | None = None
    """ISO 639-1 code for corpora in one language; null = leave it to the importer or the recogniser."""

    @field_validator("root")
    @classmethod
    def _expand(cls, value: str) -> str:
        return expand_variables(value)


class FolderCorpus(Corpus):
    """A folder of media files; labels, where wanted, from folder names."""

    importer: Literal["folder"]
    label_from: Literal["none", "parent"] = "none"
    """`parent`: the label is the name of the folder a file lies in."""
    speaker_pattern: str | None = None
    """Regular expression with a group `speaker`, searched in the relative path; null = speakers unknown."""


class CsvCorpus(Corpus):
    """A CSV or TSV table with one row per utterance, columns mapped by name."""

    importer: Literal["csv"]
    file: str
    """The table; relative paths are relative to `root`."""
    columns: dict[
        Literal[
            "media",
            "start",
            "end",
            "speaker",
            "sex",
            "language",
            "split",
            "transcript",
            "label",
            "arousal",
            "valence",
            "dominance",
        ],
        str,
    ] = {"media": "file"}
    """Our column -> the table's column. `media` is required; a column not named here is not read."""

    @field_validator("file")
    @classmethod
    def _expand_file(cls, value: str) -> str:
        return expand_variables(value)


class RavdessCorpus(Corpus):
    """RAVDESS speech: `Actor_NN/03-01-EE-II-SS-RR-AA.{wav,flac,mp4}`."""

    importer: Literal["ravdess"]


class EmodbCorpus(Corpus):
    """EmoDB: `[wav/]SSTTTEV.{wav,flac}` (speaker, text, emotion, version)."""

    importer: Literal["emodb"]


class CremaDCorpus(Corpus):
    """CREMA-D: `AudioWAV/` (or any folder) of `ActorID_Sentence_Emotion_Level.*` and its vote tables."""

    importer: Literal["crema_d"]
    annotations: str | None = None
    """Folder of `summaryTable.csv`, `tabulatedVotes.csv`, `VideoDemographics.csv`; null = `root`."""
    labels: Literal["audiovisual", "voice", "face", "acted"]
    """Whose judgement is the label. Required: the four disagree a lot."""
    ties: Literal["random", "drop", "soft"] = "drop"
    """Clips whose vote is a tie: one of the tied classes at random (seeded), no label, or the soft label only."""
    tie_seed: int = 0
    """Seed of `ties: random`."""

    @field_validator("annotations")
    @classmethod
    def _expand_annotations(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)


class DemoCorpus(Corpus):
    """A small synthetic audiovisual corpus, made on this machine: espeak-ng voices and a warped portrait."""

    importer: Literal["demo"]
    clips: int = Field(48, ge=4, le=5000)
    """Number of clips."""
    voices: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Indices of the synthetic speakers."""
    sentences: Literal["unlabelled", "labelled"] = "unlabelled"
    """Which of two disjoint sentence lists is spoken."""
    seed: int = 0
    """Seed of the generator."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio", "video")


AnyCorpus = Annotated[
    FolderCorpus | CsvCorpus | RavdessCorpus | EmodbCorpus | CremaDCorpus | DemoCorpus, Field(discriminator="importer")
]


# --- features ----------------------------------------------------------------------------------


class AudioConfig(Section):
    """Decoding to 16 kHz mono."""

    min_seconds: float = Field(0.1, ge=0.025)
    """Shorter clips are set aside (`too_short`)."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""


class EgemapsConfig(Section):
    """eGeMAPSv02 low-level descriptors."""

    window: Literal["paper", "paper_pitch60", "stock"] = "paper"
    """`paper`: 32 ms windows every 16 ms, as G25 states; too short for openSMILE's pitch tracker, which then takes most
    of a low voice for unvoiced. `paper_pitch60`: the same but 60 ms for pitch and voice quality. `stock`: openSMILE's own
    20/60 ms windows every 10 ms."""


class EgemapsFramesConfig(Section):
    """eGeMAPSv02 low-level descriptors, frame by frame."""

    window: Literal["paper", "paper_pitch60", "stock"] = "paper"
    """As in `features.egemaps`."""
    step_ms: Literal[10, 16, 20] | None = None
    """From frame to frame; null = that of the window (16, `stock` 10). 20 are the 50 Hz of D25, and the hop of the backbones."""


class EgemapsFunctionalsConfig(Section):
    """eGeMAPSv02's 88 functionals, with the windows that belong to the set. It has no keys."""


class CompareFramesConfig(Section):
    """ComParE_2016's 65 low-level descriptors and their deltas, frame by frame."""

    window: Literal["paper", "paper_pitch60", "stock"] = "paper"
    """`paper`: 32 ms windows every 16 ms, as G22 states; otherwise as in `features.egemaps`, whose remark on pitch holds here."""


class CompareFunctionalsConfig(Section):
    """ComParE_2016's 6,373 functionals, with the windows that belong to the set. It has no keys."""


class FacesConfig(Section):
    """Face detection and cropping."""

    detector: Literal["haar", "yunet", "mtcnn", "mediapipe"] = "mtcnn"
    """`mtcnn` is the paper's; `haar` needs no weights."""
    weights: str | None = None
    """File or folder of the detector's weights, relative to `models_dir`; null = the registry's name for it."""
    fps: Literal["native"] | Annotated[float, Field(gt=0)] = "native"
    """Frames per second that are kept; `native` is the paper's every frame."""
    detect_every: int = Field(1, ge=1, le=25)
    """Look for faces in every so-many-th of these frames. Boxes are carried over the frames between only where the detections
    before and after agree (each face overlaps one of its own by half); where they do not, these frames are searched too."""
    search: Literal["full", "near"] = "full"
    """`near`: look only near the faces that are known and for faces of about their sizes; everywhere in the first frame, in every
    16th, beside doubtful faces, and where a known face is not surely found again. Its boxes are those of `full`; newcomers
    are seen, and counted in `n_candidates`, only where all is searched. Only MTCNN can do that. It saves time on CPUs;
    GPUs gain from batches, which `full` has."""
    several: Literal["follow", "largest"] = "follow"
    """Where several faces appear: keep one person's through the clip, the one whose faces have the largest area in total,
    told by place and size; or the largest face of each frame, whoever's it is. Such clips are noted (`several_faces`)."""
    min_score: float | None = None
    """Smallest detector confidence; null = the detector's own default."""
    min_face: int | None = Field(None, ge=12, le=1000)
    """Side in pixels of the smallest face looked for; null = the detector's own (MTCNN 20, Haar 32). Larger is faster."""
    margin: float = Field(0.0, ge=0, le=1)
    """Widening of the square crop on each side, as a fraction of its side."""
    crop_size: int = Field(224, ge=32, le=512)
    """Side of the stored crop in pixels."""
    crop_format: Literal["jpeg", "png"] = "jpeg"
    """How crops are stored: JPEG of quality 95, or PNG, which loses nothing and takes four times the space."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""

    @model_validator(mode="after")
    def _near(self) -> FacesConfig:
        if self.search == "near" and self.detector != "mtcnn":
            raise ValueError(f"search: near needs detector mtcnn; {self.detector} is fast enough to look everywhere")
        if self.min_face is not None and self.detector not in ("mtcnn", "haar"):
            raise ValueError(f"min_face: {self.detector} has no such setting; leave the key out, or use mtcnn or haar")
        return self


class OnnxNetwork(Section):
    """An ONNX network with a declared input."""

    file: str
    """ONNX file, relative to `models_dir`, or the registry's name for it."""
    input_size: int = Field(224, ge=16, le=1024)
    """Side of the square input in pixels."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """Channel order of the input (batch, channels, size, size)."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Per channel, subtracted from pixels scaled to [0, 1]."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Per channel, divided by."""
    output: str | None = None
    """Name of the tensor that is the embedding, (batch, dimension); null = what goes into the classifier, the network's last
    linear layer."""

    @model_validator(mode="after")
    def _channels(self) -> OnnxNetwork:
        channels = 1 if self.colour == "grey" else 3
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"colour {self.colour} needs {channels} value(s) in mean and in std")
        return self


class UntrainedNetwork(Section):
    """A small seeded convolutional network without training: for the demo and for trials only."""

    untrained: Literal["tiny_cnn"]
    seed: int = 0
    dimension: int = Field(64, ge=4, le=2048)
    input_size: int = Field(64, ge=32, le=224)


class FaceEmbeddingConfig(Section):
    """Facial-expression embedding of the crops."""

    network: OnnxNetwork | UntrainedNetwork = OnnxNetwork(file="enet_b2_8", input_size=260)
    """The network; the paper's is HSEmotion's EfficientNet-B2 of AffectNet, the 1,408-D vector before its classifier."""
    batch_size: int = Field(16, ge=1)


class AsrConfig(Section):
    """Speech to text."""

    engine: Literal["whisper", "pocketsphinx", "corpus"] = "whisper"
    """`corpus`: use the corpus's own transcripts."""
    model: str = "small"
    """Whisper size, or a checkpoint file relative to `models_dir`. The paper does not state one."""
    language: str | None = None
    """ISO 639-1; null = the manifest's, else detected (Whisper) or English (pocketsphinx)."""
    batch_size: int | None = Field(None, ge=1)
    """Windows of 30 s that Whisper reads together; null = 16 on a GPU, 1 on a CPU, where more gain little."""
    no_speech_threshold: float = Field(0.6, ge=0, le=1)
    """A window whose no-speech probability is higher, and whose words are improbable (mean log-probability of at most -1),
    holds no words. Whisper's own rule and value."""
    timestamps: bool = False
    """Also keep Whisper's segments, with their beginnings and ends. It is another way of decoding: texts may differ."""

    @model_validator(mode="after")
    def _timestamps(self) -> AsrConfig:
        if self.timestamps and self.engine != "whisper":
            raise ValueError(f"timestamps: {self.engine} gives none; set engine: whisper, or leave the key out")
        return self


class SentimentConfig(Section):
    """Sentiment of the transcript."""

    engine: Literal["transformers", "vader"] = "transformers"
    model: str = "cardiffnlp/twitter-xlm-roberta-base-sentiment"
    """Hub id, or folder relative to `models_dir`."""
    batch_size: int = Field(32, ge=1)


class Features(Section):
    """One section per feature, and what they share."""

    stall_limit: float = Field(120.0, gt=0)
    """Seconds without progress after which a clip on which a decoder hangs is set aside (`stalled`)."""
    also: tuple[Name, ...] = ()
    """Features to compute for every corpus, whether or not the study uses them: they end up in `results/features/`. Those
    that need video are left out for corpora without it."""
    audio: AudioConfig = AudioConfig()
    egemaps: EgemapsConfig = EgemapsConfig()
    egemaps_functionals: EgemapsFunctionalsConfig = EgemapsFunctionalsConfig()
    egemaps_frames: EgemapsFramesConfig = EgemapsFramesConfig()
    compare_functionals: CompareFunctionalsConfig = CompareFunctionalsConfig()
    compare_frames: CompareFramesConfig = CompareFramesConfig()
    faces: FacesConfig = FacesConfig()
    face_embedding: FaceEmbeddingConfig = FaceEmbeddingConfig()
    transcript: AsrConfig = AsrConfig()
    sentiment: SentimentConfig = SentimentConfig()

    @field_validator("also")
    @classmethod
    def _features(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name, field in cls.model_fields.items() if isinstance(field.default, Section)]
        if wrong := [name for name in value if name not in known]:
            raise ValueError(f"{', '.join(wrong)} is no feature; there is {', '.join(known)}")
        if repeated := _repeated(value):
            raise ValueError(f"it repeats {', '.join(repeated)}")
        return value


# --- models ------------------------------------------------------------------------------------

Architecture = Literal["wav2vec2", "wavlm", "hubert", "data2vec"]


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
    seed: int = 0

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
    """Frames (20 ms) in a span; clips shorter than one are left whole."""
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


class Backbone(Section):
    """A self-supervised speech model."""

    architecture: Architecture
    weights: str | None = None
    """Hub id, or folder relative to `models_dir`. Exactly one of `weights` and `untrained` is given."""
    revision: str | None = None
    """Commit of the hub repository, for a study that is to be repeated exactly."""
    untrained: UntrainedBackbone | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""
    cnn: Literal["frozen", "stage1", "both"] | None = None
    """When the CNN encoder is trained. null = `frozen` (the paper) for weights, `stage1` for untrained."""
    layers: Literal["last", "weighted"] = "last"
    """What is pooled: the last transformer layer, or a learned weighted mean of the transformer's input and all layers."""
    train_layers: Literal["all"] | Annotated[int, Field(ge=1)] = "all"
    """Transformer layers that are trained in both stages, counted from the last; a number freezes all below, the feature
    projection included."""
    lora: Lora | None = None
    """Train adapters instead of the transformer. They are merged into the weights that are saved."""
    spec_augment: SpecAugment | None = None
    """Mask spans of time and of channels in training."""

    @model_validator(mode="after")
    def _one_source(self) -> Backbone:
        if (self.weights is None) == (self.untrained is None):
            raise ValueError("exactly one of `weights` and `untrained` is needed")
        if self.lora and self.train_layers != "all":
            raise ValueError("`lora` and `train_layers` both say what is trained; give one of them")
        projections = [name for name in (self.lora and self.lora.modules) or () if name.endswith("_proj")]
        if projections and self.architecture == "wavlm":
            raise ValueError(
                f"WavLM's attention goes past adapters in {', '.join(projections)}; use intermediate_dense and output_dense"
            )
        return self

    @property
    def cnn_mode(self) -> Literal["frozen", "stage1", "both"]:
        """The value in force."""
        return self.cnn or ("frozen" if self.untrained is None else "stage1")

    def describe_cnn(self) -> str:
        """The keys that decide the output of the frozen CNN encoder, as JSON."""
        return self.model_dump_json(exclude={"layers", "train_layers", "lora", "spec_augment"})

    def trains_cnn(self, stage: Literal["stage1", "stage2"], start: str) -> bool:
        """Whether this stage trains the CNN encoder of a model with this starting point.

        An original under `cnn: stage1` never saw Stage 1, so it gets the same freedom in Stage 2.
        """
        if self.cnn_mode == "frozen":
            return False
        return stage == "stage1" or self.cnn_mode == "both" or start == "original"


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
    max_seconds: float | None = Field(None, gt=0)
    """Longer clips are cropped to their beginning (Stage 2, evaluation) or at a seeded random place (Stage 1 training)."""


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
    weighting: Literal["fixed", "uncertainty", "gradnorm"] = "fixed"
    """`fixed`: the weights stay as given (the paper). Otherwise they are where learning begins: by homoscedastic uncertainty
    (Kendall et al. 2018), or so that all objectives learn at the same pace (GradNorm, Chen et al. 2018). The epoch is chosen
    by the weights as given in any case."""
    weighting_learning_rate: float = Field(0.01, gt=0)
    """Learning rate of learned weights."""
    normalise: Literal["global", "corpus"] = "global"
    """Whether z-scores are fitted over all corpora together or one by one."""
    held_out: Fraction = 0.15
    """Share of the unlabelled data (by speaker where known) on which the best checkpoint is chosen."""
    epochs: int = Field(100, ge=1)
    backbones: tuple[Name, ...] | None = None
    """Backbones it is applied to (default: all)."""
    seed: int = 0
    """Seed of heads, batch order, dropout and the held-out draw."""

    @model_validator(mode="after")
    def _weighted(self) -> Adaptation:
        if self.weighting != "fixed" and len(self.objectives) < 2:
            raise ValueError(f"weighting {self.weighting} is between objectives; name at least two, or leave it out")
        return self


# --- labelled tasks ------------------------------------------------------------------------------


class OfficialSplit(Section):
    """The corpus's own partition (the manifest's `split` column)."""

    by: Literal["official"]
    train: tuple[str, ...] = ("train",)
    """Names of the training part, in any case. Clips of a part that is named nowhere are left out."""
    dev: tuple[str, ...] = ("dev", "devel", "development", "valid", "val", "validation")
    """Names of the development part."""
    test: tuple[str, ...] = ("test", "test1")
    """Names of the test part."""


class SpeakerSplit(Section):
    """Speakers named one by one; train may be left out (all others)."""

    by: Literal["speakers"]
    train: tuple[str, ...] | None = None
    dev: tuple[str, ...]
    test: tuple[str, ...]


class FractionSplit(Section):
    """Seeded fractions, disjoint in speakers."""

    by: Literal["fractions"]
    train: Fraction = 0.70
    dev: Fraction = 0.15
    test: Fraction = 0.15
    seed: int = 0

    @model_validator(mode="after")
    def _sums(self) -> FractionSplit:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError(f"train + dev + test must be 1, they are {self.train + self.dev + self.test:g}")
        return self


class FoldSplit(Section):
    """k folds by speaker; each fold tests on one part and develops on the next."""

    by: Literal["folds"]
    k: int = Field(5, ge=3)
    seed: int = 0


class LeaveOneSpeakerOut(Section):
    """One fold per speaker; development is the next speaker in order."""

    by: Literal["leave_one_speaker_out"]


Split = Annotated[
    OfficialSplit | SpeakerSplit | FractionSplit | FoldSplit | LeaveOneSpeakerOut, Field(discriminator="by")
]


class Task(Section):
    """A labelled corpus to fine-tune and test on."""

    corpus: Name
    classes: tuple[str, ...] = Field(min_length=2)
    """Classes in the order of the logits."""
    class_map: dict[str, str] = {}
    """A corpus's label -> class, for labels that are named otherwise or are to be merged."""
    other_labels: Literal["error", "drop"] = "error"
    """Labels outside `classes`: refuse, or leave those utterances out (counted in the report)."""
    split: Split
    allow_speaker_overlap: bool = False
    """Accept speakers shared between train, dev and test (printed in the report either way)."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] = ("full",)
    """Numbers of training clips, class distribution kept."""
    resamplings: int = Field(1, ge=1)
    """Independent draws of each subset (not of `full`)."""
    test_also: tuple[Name, ...] = ()
    """Corpora that the fine-tuned models are tested on without training (all their clips with a label in `classes`)."""

    @model_validator(mode="after")
    def _classes(self) -> Task:
        if repeated := _repeated(self.test_also):
            raise ValueError(f"test_also repeats {', '.join(repeated)}")
        if wrong := sorted(set(self.class_map.values()) - set(self.classes)):
            raise ValueError(f"class_map leads to {', '.join(wrong)}, not among classes {', '.join(self.classes)}")
        return self


class Finetuning(Optimisation):
    """Stage 2, the same for all starting points."""

    epochs: int = Field(20, ge=1)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
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


class Report(Section):
    """Tables, figures, HTML."""

    title: str | None = None
    bootstrap: int = Field(1000, ge=100)
    """Draws of the bootstrap intervals."""
    confidence: Fraction = 0.95
    paper: Literal["goncalves2025"] | None = None
    """Paper whose figures stand beside ours."""


# --- the study -----------------------------------------------------------------------------------


class Study(Section):
    """A whole study."""

    study: Name
    """Its name, shown in the report."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`: jobs ask for no GPU and run side by side. `auto`: a GPU where there is one."""
    models_dir: str | None = None
    """Folder of weights; `${NAME}` is replaced by the environment variable. null = `models/`."""
    corpora: dict[Name, AnyCorpus] = Field(min_length=1)
    features: Features = Features()
    backbones: dict[Name, Backbone] = {}
    adaptations: dict[Name, Adaptation] = {}
    tasks: dict[Name, Task] = {}
    finetuning: Finetuning = Finetuning()
    report: Report = Report()
    keep_models: Literal["adapted", "best", "all"] = "adapted"
    """Weights kept: only Stage-1 models, also the best fine-tuned run of each job (see `runs_per_job`), or all runs."""
    runs_per_job: int = Field(5, ge=1)
    """Fine-tuning runs of one setting that share a process (start-up costs seconds); 1 where many GPUs wait."""
    extraction_threads: int = Field(1, ge=1)
    """CPU threads of a job that extracts audio, faces, acoustic descriptors or transcripts: as many clips at a time, each in a
    process of its own (Whisper on a CPU: one process with as many threads). Where a corpus has more shards than the machine has cores, 1 is as fast."""
    training_threads: int = Field(4, ge=1)
    """CPU threads of a training job; 1 where many small jobs run side by side."""
    code: Literal["digest", "version"] = "digest"
    """What makes results stale: a change of the code they were computed with, or only of the release."""

    @field_validator("models_dir")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)

    @model_validator(mode="after")
    def _references(self) -> Study:
        problems = []
        for name, adaptation in self.adaptations.items():
            problems += _unknown(f"adaptations.{name}.corpora", adaptation.corpora, self.corpora)
            problems += _unknown(f"adaptations.{name}.backbones", adaptation.backbones or (), self.backbones)
            if name in ("original", "egemaps"):
                problems.append(f"adaptations.{name}: this name is taken by a baseline; choose another")
            known = objective_features()
            problems += _unknown(f"adaptations.{name}.objectives", adaptation.objectives, known)
            videos = [c for c in adaptation.corpora if c in self.corpora and "video" in self.corpora[c].modalities]
            for objective in adaptation.objectives:
                if known.get(objective) in VIDEO_FEATURES and not videos:
                    problems.append(
                        f"adaptations.{name}.objectives.{objective}: it needs video, and none of {', '.join(adaptation.corpora)} "
                        "has it; add `modalities: [audio, video]` to a corpus or leave the objective out"
                    )
        for name, task in self.tasks.items():
            problems += _unknown(f"tasks.{name}.corpus", (task.corpus,), self.corpora)
            problems += _unknown(f"tasks.{name}.test_also", task.test_also, self.corpora)
            if name == "word_errors":
                problems.append("tasks.word_errors: this name is taken by a table of the results; choose another")
            if task.corpus in task.test_also:
                problems.append(f"tasks.{name}.test_also: {task.corpus} is the corpus trained on; name others")
        if not any("video" in corpus.modalities for corpus in self.corpora.values()):
            problems += [
                f"features.also: {name} needs video, and no corpus has it; add `modalities: [audio, video]` to a corpus "
                "or leave the feature out"
                for name in self.features.also
                if name in VIDEO_FEATURES
            ]
        roots = [corpus.root for corpus in self.corpora.values() if corpus.importer == "demo"]
        problems += [f"corpora: two demo corpora share the root {root}; give each its own" for root in _repeated(roots)]
        if "handcrafted" in self.backbones:
            problems.append("backbones.handcrafted: this name is taken by the eGeMAPS baseline; choose another")
        if self.tasks and not self.backbones and not self.finetuning.egemaps_baseline:
            problems.append("tasks: nothing to train; add a backbone or set finetuning.egemaps_baseline: true")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def starts(self, backbone: str) -> list[str]:
        """Starting points of a backbone: original, then the adaptations applied to it."""
        return ["original"] + [
            name for name, a in self.adaptations.items() if a.backbones is None or backbone in a.backbones
        ]

    @property
    def weights_folder(self) -> Path:
        """Folder of weights."""
        return Path(self.models_dir or "models")

    @property
    def untrained(self) -> list[str]:
        """Backbones without pretrained weights."""
        return [name for name, b in self.backbones.items() if b.untrained is not None]


VIDEO_FEATURES = ("faces", "face_embedding")


def objective_features() -> dict[str, str]:
    """Objective name -> feature it takes its target from, read without importing torch."""
    from emoadapt.flow.code import module_constant, submodules

    return {
        name: str(module_constant(f"emoadapt.objectives.{name}", "FEATURE"))
        for name in submodules("emoadapt.objectives")
        if module_constant(f"emoadapt.objectives.{name}", "FEATURE") is not None
    }


def expand_variables(text: str) -> str:
    """Replace `${NAME}` by environment variables.

    Raises:
        ValueError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"environment variable {match[1]} is not set; set it, or write the path itself")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def load_study(values: dict[str, Any]) -> Study:
    """Check a configuration.

    Raises:
        ConfigError: one line per problem: key path, what was found, what is allowed.
    """
    try:
        # As JSON, so that strict types still take a YAML list for a tuple; nothing is converted ("4" is no integer).
        return Study.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _sentences(problem)]
        raise ConfigError("the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines)) from None


def read_configfiles(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read YAML files and merge them key by key, later over earlier, as `snakemake --configfile` does.

    Raises:
        ConfigError: a file is missing, is no YAML, or holds no mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            values = yaml.safe_load(Path(path).read_text())
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}); name an existing configuration file"
            ) from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path} holds {type(values).__name__}, a configuration is a mapping of keys to values")
        _merge(merged, values)
    return merged


def read_study(paths: Sequence[str | Path]) -> Study:
    """Read a study as the Snakefile does: files without the key `study` override those of `config.yaml`.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    values = read_configfiles(paths)
    return load_study(values if "study" in values else read_configfiles(["config.yaml", *paths]))


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _unknown(path: str, names: Any, known: Any) -> list[str]:
    return [
        f"{path}: {name} is not defined; there is {', '.join(sorted(known)) or 'none'}"
        for name in names
        if name not in known
    ]


def _key_path(location: tuple[int | str, ...]) -> list[str]:
    """The keys of a YAML file, without the names pydantic inserts for the alternatives of a union."""
    parts = [str(part) for part in location]
    for depth, section in ((2, "corpora"), (3, "split")):
        if len(parts) > depth and section in parts[:depth]:
            del parts[depth]
    return [
        part for part in parts if not part.endswith(("Network",)) and not part.startswith(("literal[", "constrained-"))
    ]


def _sentences(problem: Any) -> list[str]:
    """One pydantic problem as sentences of ours."""
    path = ".".join(_key_path(problem["loc"]))
    found = problem.get("input")
    shown = (
        f"found {found!r}" if isinstance(found, (str, int, float, bool, list, tuple, type(None))) else "found a mapping"
    )
    kind = problem["type"]
    if kind == "extra_forbidden":
        return [f"{path}: this key is not known; see docs/configuration.md"]
    if kind == "missing":
        return [f"{path}: this key is required"]
    if kind == "value_error":
        message = str(problem["ctx"]["error"])
        return [line if not path else f"{path}: {line}" for line in message.splitlines()]
    message = problem["msg"].removeprefix("Input should be ")
    return [f"{path}: {shown}, allowed is {message}"]
