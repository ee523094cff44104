"""Configuration of features."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.config.base import Name, Section, repeated_values
from emoadapt.models.registry import find_entry


class AudioConfig(Section):
    """Decoding to 16 kHz mono."""

    min_seconds: float = Field(0.1, ge=0.025)
    """Shorter clips are set aside (`too_short`)."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""


SmileWindow = Literal["paper_pitch60", "paper", "stock"]
"""Name of the analysis windows and the step of openSMILE's descriptors; see `emoadapt.acoustics.components.WINDOWS`."""


class EgemapsConfig(Section):
    """eGeMAPSv02 low-level descriptors."""

    window: SmileWindow = "paper_pitch60"
    """`paper_pitch60`: 32 ms windows every 16 ms, as G25 states, but 60 ms for pitch and voice quality. `paper`: 32 ms for
    all descriptors; too short for openSMILE's pitch tracker, which then takes most of a low voice for unvoiced. `stock`:
    openSMILE's own 20/60 ms windows every 10 ms."""


class EgemapsFramesConfig(Section):
    """eGeMAPSv02 low-level descriptors, frame by frame."""

    window: SmileWindow = "paper_pitch60"
    """As in `features.egemaps`."""
    step_ms: Literal[10, 16, 20] | None = None
    """From frame to frame; null = that of the window (16, `stock` 10). 20 is 50 Hz, the hop of the backbones."""


class EgemapsFunctionalsConfig(Section):
    """eGeMAPSv02's 88 functionals, with the windows that belong to the set. It has no keys."""


class CompareFramesConfig(Section):
    """ComParE_2016's 65 low-level descriptors and their deltas, frame by frame."""

    window: SmileWindow = "paper_pitch60"
    """As in `features.egemaps`."""


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
    """An ONNX network with a declared input. Of a registered one, the registry knows what is not declared."""

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

    @model_validator(mode="before")
    @classmethod
    def _registered(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        entry = find_entry(str(values.get("file")))
        known = {**entry.network, **values} if entry else values
        # Strict types take a list for a tuple only where it comes straight from JSON.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}

    @model_validator(mode="after")
    def _channels(self) -> OnnxNetwork:
        channels = 1 if self.colour == "grey" else 3
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"colour {self.colour} needs {channels} value(s) in mean and in std")
        return self


class UntrainedNetwork(Section):
    """A small seeded convolutional network without training: for the demo and for trials only."""

    untrained: Literal["tiny_cnn"]
    seed: int = Field(0, ge=0)
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
    """A window whose no-speech probability is higher, and whose mean log-probability is at most `log_probability`, holds no
    words. Whisper's own rule and value."""
    compression_ratio: float | None = Field(2.4, gt=0)
    """A clip is doubtful (`repetition`) if the text of one of its windows compresses better than this. Whisper's own measure
    and value; null = not looked at."""
    log_probability: float | None = Field(-1.0, le=0)
    """A clip is doubtful (`low_confidence`) if the words of one of its windows have a lower mean log-probability. Whisper's own
    measure and value; null = not looked at, and the no-speech probability alone decides on words."""
    doubtful: Literal["absent", "note"] = "absent"
    """Use of a doubtful transcript: none, as if there were no words; or kept with a note."""
    unknown_language: Literal["note", "absent"] = "note"
    """Clips without a language, for a recogniser that knows only one (pocketsphinx, `*.en` of Whisper): transcribed in that language with
    a note (`language_assumed`), or left out (`language_unknown`)."""
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
    doubtful: Literal["absent", "note"] = "absent"
    """Sentiment of a doubtful transcript that was kept (`features.transcript.doubtful: note`): none, so that it is no target; or
    computed, with a note."""


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
        if repeated := repeated_values(value):
            raise ValueError(f"it repeats {', '.join(repeated)}")
        return value


VIDEO_FEATURES = ("faces", "face_embedding")
