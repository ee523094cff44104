"""Configuration of corpora: one class per importer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from emoadapt.config.base import Section, expand_variables


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
    optional: bool = False
    """Where the root is not there, leave out the corpus and all that needs it, and list that in the report, instead of refusing
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
