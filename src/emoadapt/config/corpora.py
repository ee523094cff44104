"""Configuration of corpora: one class per importer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from emoadapt.config.base import PlainName, Section, expand_variables


class Corpus(Section):
    """What all corpora have."""

    root: str
    """Folder of the media, absolute or relative to the folder that the study runs in; `${NAME}` is replaced by the environment
    variable, `~` by your home."""
    shards: int = Field(4, ge=1, le=4096)
    """Number of hash shards. Changing it recomputes the corpus's features; `emoadapt check` advises a number."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio",)
    """What the clips hold. An objective that needs video is masked for a corpus without it."""
    speakers: tuple[PlainName, ...] | None = None
    """Keep only these speakers (default: all)."""
    optional: bool = False
    """Where the root is missing, leave out the corpus and all that needs it, and list that in the report, instead of refusing
    the study."""
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
    quoting: Literal["standard", "multiline", "none"] = "standard"
    """`standard`: a cell in double quotes may hold the separator, but no line end, since a lone quotation mark would take the rows up
    to the next one; such a row is refused. `multiline`: line ends too. `none`: quotation marks are ordinary characters, as in the
    tables of Common Voice."""

    @field_validator("file")
    @classmethod
    def _expand_file(cls, value: str) -> str:
        return expand_variables(value)


class AnnotatedCorpus(Corpus):
    """A published corpus whose annotations may lie apart from its media."""

    annotations: str | None = None
    """Folder of the corpus's annotation files; null = where the distribution has them below `root`."""

    @field_validator("annotations")
    @classmethod
    def _expand_folder(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)


class RavdessCorpus(Corpus):
    """RAVDESS: `Actor_NN/03-01-EE-II-SS-RR-AA.{wav,flac,mp4}`, speech or song."""

    importer: Literal["ravdess"]
    channels: tuple[Literal["speech", "song"], ...] = Field(("speech",), min_length=1)
    """Spoken performances, sung ones, or both. Song has no disgust, no surprise and not actor 18."""


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
    tie_seed: int = Field(0, ge=0)
    """Seed of `ties: random`."""

    @field_validator("annotations")
    @classmethod
    def _expand_annotations(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)


class MspPodcastCorpus(AnnotatedCorpus):
    """MSP-Podcast 1.6-1.12: `Audios/` and `Labels/labels_consensus.csv`; parts Train, Development, Test1, ..."""

    importer: Literal["msp_podcast"]
    votes: bool = False
    """Read each rater's primary emotion from `labels_detailed.csv`, about a million rows."""
    transcripts: bool = False
    """Read `Transcripts/*.txt`, one small file a clip."""


class MspImprovCorpus(AnnotatedCorpus):
    """MSP-IMPROV: `MSP-IMPROV-S01A-F01-S-FM01.{wav,avi}` and `Evalution.txt`; parts session1 to session6."""

    importer: Literal["msp_improv"]
    scenarios: tuple[Literal["target_improvised", "other_improvised", "natural", "read"], ...] = Field(
        ("target_improvised", "other_improvised", "natural", "read"), min_length=1
    )
    """Which recordings: the improvised target sentences (T), what else was improvised (S), talk in the breaks (P), the
    target sentences read (R)."""
    activation: Literal["descending", "ascending"] = "descending"
    """Direction of the activation scale of `Evalution.txt`: `descending` = 1 is the most active, and it is turned round."""


class MspFaceCorpus(AnnotatedCorpus):
    """MSP-Face: segments `MSP-FACE_<video>_<part>.{mp4,wav}`; labelled and unlabelled part."""

    importer: Literal["msp_face"]
    part: Literal["all", "labelled", "unlabelled"] = "all"
    """Which clips: those with raters, those without, or both."""
    labels: Literal["consensus", "none"] = "consensus"
    """`none` needs no annotation files: all clips are unlabelled, and one video is taken for one speaker."""


class IemocapCorpus(Corpus):
    """IEMOCAP: `Session1..5/sentences/wav` and `dialog/EmoEvaluation`; parts session1 to session5."""

    importer: Literal["iemocap"]
    excitement: Literal["own_class", "happiness"] = "own_class"
    """Whether `exc` is a class of its own or is merged into happiness, as four-class studies do."""
    scenarios: tuple[Literal["improvised", "scripted"], ...] = Field(("improvised", "scripted"), min_length=1)
    """Which dialogues."""


class MeldCorpus(AnnotatedCorpus):
    """MELD: `train|dev|test_sent_emo.csv` and `diaX_uttY.{mp4,wav,flac}`; parts train, dev, test."""

    importer: Literal["meld"]
    labels: Literal["emotion", "sentiment"] = "emotion"
    """Seven emotions, or negative, neutral, positive."""


class CmuMosiCorpus(AnnotatedCorpus):
    """CMU-MOSI: segments `<video>_<n>` and `OpinionLevelSentiment.csv` (or `label.csv`); parts train, dev, test."""

    importer: Literal["cmu_mosi"]


class CafeCorpus(Corpus):
    """CaFE, Canadian French: `Emotion/Intensity/AA-E-I-S.{wav,aiff}`."""

    importer: Literal["cafe"]
    intensities: tuple[Literal["mild", "strong"], ...] = Field(("mild", "strong"), min_length=1)
    """Which intensities; the neutral clips are always kept."""


class UrduCorpus(Corpus):
    """URDU-Dataset: `Angry|Happy|Neutral|Sad/SGX_FXX_EYY.*` (sex and speaker, file, emotion)."""

    importer: Literal["urdu"]


class NemoCorpus(AnnotatedCorpus):
    """nEMO, Polish: `samples/<speaker>_<emotion>_<sentence>.wav` and `data.tsv`."""

    importer: Literal["nemo"]


class SaveeCorpus(Corpus):
    """SAVEE: `DC|JE|JK|KL/<emotion><number>.*` or `DC_<emotion><number>.*`."""

    importer: Literal["savee"]


class TessCorpus(Corpus):
    """TESS: `OAF_back_angry.wav` (speaker, word, emotion) in any folders."""

    importer: Literal["tess"]


class DemoCorpus(Corpus):
    """A small synthetic audiovisual corpus, made on this machine: espeak-ng voices and a warped portrait."""

    importer: Literal["demo"]
    clips: int = Field(48, ge=4, le=5000)
    """Number of clips."""
    voices: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Indices of the synthetic speakers."""
    sentences: Literal["unlabelled", "labelled"] = "unlabelled"
    """Which of two disjoint sentence lists is spoken."""
    seed: int = Field(0, ge=0)
    """Seed of the generator."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio", "video")


AnyCorpus = Annotated[
    FolderCorpus
    | CsvCorpus
    | RavdessCorpus
    | EmodbCorpus
    | CremaDCorpus
    | MspPodcastCorpus
    | MspImprovCorpus
    | MspFaceCorpus
    | IemocapCorpus
    | MeldCorpus
    | CmuMosiCorpus
    | CafeCorpus
    | UrduCorpus
    | NemoCorpus
    | SaveeCorpus
    | TessCorpus
    | DemoCorpus,
    Field(discriminator="importer"),
]
