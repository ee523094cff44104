"""Configuration of labelled tasks and their splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emoadapt.config.base import Fraction, Name, NameMap, PlainName, Section, repeated_values

Attribute = Literal["arousal", "valence", "dominance"]
"""Emotional attributes that clips are rated on (columns of the LABELS table)."""


class OfficialSplit(Section):
    """The corpus's own partition (the manifest's `split` column)."""

    by: Literal["official"]
    train: tuple[PlainName, ...] = ("train",)
    """Names of the training part, in any case. Clips of a part that is named nowhere are left out."""
    dev: tuple[PlainName, ...] = ("dev", "devel", "development", "valid", "val", "validation")
    """Names of the development part."""
    test: tuple[PlainName, ...] = ("test", "test1")
    """Names of the test part."""


class SpeakerSplit(Section):
    """Speakers named one by one; train may be left out (all others)."""

    by: Literal["speakers"]
    train: tuple[PlainName, ...] | None = None
    dev: tuple[PlainName, ...]
    test: tuple[PlainName, ...]


class FractionSplit(Section):
    """Seeded fractions, disjoint in speakers."""

    by: Literal["fractions"]
    train: Fraction = 0.70
    dev: Fraction = 0.15
    test: Fraction = 0.15
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _sums(self) -> FractionSplit:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError(f"train + dev + test must be 1, they are {self.train + self.dev + self.test:g}")
        return self


class FoldSplit(Section):
    """k folds by speaker; each fold tests on one part and develops on the next."""

    by: Literal["folds"]
    k: int = Field(5, ge=3)
    seed: int = Field(0, ge=0)


class LeaveOneSpeakerOut(Section):
    """One fold per speaker; development is the next speaker in order."""

    by: Literal["leave_one_speaker_out"]


class LeaveOnePartOut(Section):
    """One fold per official part, such as the sessions of IEMOCAP and MSP-IMPROV; development is the next part in order."""

    by: Literal["leave_one_part_out"]


Verdict = Literal["refuse", "report"]

Split = Annotated[
    OfficialSplit | SpeakerSplit | FractionSplit | FoldSplit | LeaveOneSpeakerOut | LeaveOnePartOut,
    Field(discriminator="by"),
]


class Leaks(Section):
    """Overlap of test data with training data: `refuse` stops the task, `report` prints it below the tables.

    docs/evaluation.md says how each is found. The paper tests on other corpora and other speakers than it trains on.
    """

    speakers: Verdict = "refuse"
    """Speakers in more than one of train, dev and test."""
    clips: Verdict = "refuse"
    """Recordings of the training part among the test or development clips. Segments of one file are the same recording where they
    share at least half of the shorter one."""
    development: Verdict = "refuse"
    """Recordings of the development part among the test clips: the epoch would be chosen on the test."""
    transcripts: Verdict = "report"
    """Sentences of the training part among the test clips. Acted corpora share them by design."""
    stage1_clips: Verdict = "report"
    """Test clips that Stage 1 used, without labels."""
    stage1_speakers: Verdict = "report"
    """Test speakers whose clips Stage 1 used."""
    labels: Verdict = "report"
    """Recordings that are labelled twice, with different labels."""
    duplicates: Verdict = "report"
    """Recordings that are more than once in train, in dev or in test: training and scores count each of them."""


_OVERLAPS = {"speakers", "clips", "development"}
"""Leaks that `allow_speaker_overlap` accepts."""


class Task(Section):
    """A labelled corpus to fine-tune and test on."""

    corpus: Name
    classes: tuple[PlainName, ...] = ()
    """Classes in the order of the logits; at least two. A task has either these or `attributes`."""
    attributes: tuple[Attribute, ...] = ()
    """Instead of classes: emotional attributes whose values are predicted, by regression with the concordance correlation
    coefficient (CCC) as loss and metric. A clip that lacks the value of an attribute does not count for that one."""
    class_map: NameMap = {}
    """A corpus's label -> class, for labels that are named otherwise or are to be merged."""
    other_labels: Literal["error", "drop"] = "error"
    """Labels outside `classes`: refuse, or leave those utterances out (counted in the report)."""
    missing_classes: Verdict = "refuse"
    """A test set (folds pooled; `test_also` corpora too) without a clip of one of the classes: refuse the task, or report it
    at the head of the report. Scores are over all classes either way; a class without a test clip counts as 0."""
    split: Split
    allow_speaker_overlap: bool = False
    """Accept speakers and recordings shared between train, dev and test (printed in the report either way): short for
    `leaks: {speakers: report, clips: report, development: report}`."""
    leaks: Leaks = Leaks()
    """Overlap of test data with training data: refuse or report."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] = ("full",)
    """Numbers of training clips; the distribution of classes, or of attributes, is kept."""
    resamplings: int = Field(1, ge=1)
    """Draws of each subset (not of `full`); the paper's are five."""
    draws: Literal["independent", "nested"] = "independent"
    """`nested`: within a resampling, a smaller subset is a part of each larger one, so that a curve over sizes shows what more
    clips bring. `independent`: each size is drawn anew."""
    test_also: tuple[Name, ...] = ()
    """Corpora that the fine-tuned models are tested on without training (all their clips with a label in `classes`, or with
    a value of an attribute)."""

    @model_validator(mode="after")
    def _overlap(self) -> Task:
        if self.allow_speaker_overlap and self.leaks.model_fields_set & _OVERLAPS:
            raise ValueError(
                "allow_speaker_overlap: true is short for leaks: {speakers: report, clips: report, development: report}, "
                "and both are given; keep leaks alone"
            )
        return self

    @property
    def kind(self) -> Literal["classes", "attributes"]:
        """What is asked of a clip."""
        return "classes" if self.classes else "attributes"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the models of the task give a number for: its classes or its attributes."""
        return self.classes or self.attributes

    def refuses(self, kind: str) -> bool:
        """Whether a leak of this kind (a key of `leaks`) stops the task."""
        accepted = self.allow_speaker_overlap and kind in _OVERLAPS
        return not accepted and getattr(self.leaks, kind) == "refuse"

    @model_validator(mode="after")
    def _classes(self) -> Task:
        if repeated := repeated_values(self.test_also):
            raise ValueError(f"test_also repeats {', '.join(repeated)}")
        if bool(self.classes) == bool(self.attributes):
            found = "both" if self.classes else "neither"
            raise ValueError(
                f"a task has either classes (to be told apart) or attributes (to be rated), this has {found}"
            )
        if self.attributes:
            if self.class_map or self.other_labels != "error" or self.missing_classes != "refuse":
                raise ValueError(
                    "class_map, other_labels and missing_classes are of tasks with classes, this one has attributes; remove them"
                )
            return self
        if len(self.classes) < 2:
            raise ValueError(f"classes holds only {self.classes[0]}; name at least two")
        if wrong := sorted(set(self.class_map.values()) - set(self.classes)):
            raise ValueError(f"class_map leads to {', '.join(wrong)}, not among classes {', '.join(self.classes)}")
        return self
