"""Configuration of corpora: what the sections of all importers share."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from emoadapt.config.base import PlainName, Section, expand_variables


class Segments(Section):
    """Division of clips into parts of one length, each with the speaker and the labels of its clip."""

    seconds: float = Field(gt=0)
    """Length of a segment, in s. A clip that is not longer stays whole."""
    overlap: float = Field(0.0, ge=0)
    """Overlap of neighbouring segments, in s."""
    shortest: float = Field(1.0, ge=0)
    """Length in s from which the rest of a clip becomes a segment of its own; a shorter rest is left out."""

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if round(1000 * (self.seconds - self.overlap)) < 10:
            raise ValueError(
                f"overlap ({self.overlap:g} s) must be less than seconds ({self.seconds:g} s) by 0.01 s at least"
            )
        return self


class Corpus(Section):
    """Keys of all corpora."""

    root: str
    """Folder of the media, absolute or relative to the folder that the study runs in; `${NAME}` is replaced by the environment
    variable, `~` by your home."""
    shards: int = Field(4, ge=1, le=4096)
    """Number of hash shards. Changing it recomputes the corpus's features; `emoadapt check` advises a number."""
    modalities: tuple[Literal["audio", "video"], ...] = ("audio",)
    """Content of the clips. An objective that needs video is masked for a corpus without it."""
    speakers: tuple[PlainName, ...] | None = None
    """Keep only these speakers (default: all)."""
    optional: bool = False
    """If the root is missing: leave out the corpus and everything that needs it, and list this in the report. Otherwise the study is
    refused."""
    language: str | None = None
    """ISO 639-1 code for corpora in one language; null = leave it to the importer or the recogniser."""
    segments: Segments | None = None
    """Divide each clip into segments of equal length, each an utterance of its own; null = clips stay whole."""

    @field_validator("root")
    @classmethod
    def _expand(cls, value: str) -> str:
        return expand_variables(value)


class AnnotatedCorpus(Corpus):
    """A published corpus whose annotations may be in another folder than its media."""

    annotations: str | None = None
    """Folder of the corpus's annotation files; null = where the distribution has them below `root`."""

    @field_validator("annotations")
    @classmethod
    def _expand_folder(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)
