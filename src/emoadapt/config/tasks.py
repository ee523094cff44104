"""Configuration of labelled tasks and their splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Fraction, Name, Section, repeated_values


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
        if repeated := repeated_values(self.test_also):
            raise ValueError(f"test_also repeats {', '.join(repeated)}")
        if wrong := sorted(set(self.class_map.values()) - set(self.classes)):
            raise ValueError(f"class_map leads to {', '.join(wrong)}, not among classes {', '.join(self.classes)}")
        return self
