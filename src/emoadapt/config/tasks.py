"""Configuration of labelled tasks and their splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from emoadapt.config.base import Fraction, Name, NameMap, PlainName, Section, expand_variables, repeated_values

Attribute = Literal["arousal", "valence", "dominance"]
"""Emotional attributes that clips are rated on (columns of the LABELS table)."""


def _refuse_shared_parts(division: Section) -> None:
    """Refuse an official part, in any case, that a user gives to two of train, dev and test; default names give way.

    Raises:
        ValueError: naming it. Speakers are refused when they are listed.
    """
    parts: dict[str, list[str]] = {}
    for part in ("train", "dev", "test"):
        for name in getattr(division, part) or () if part in division.model_fields_set else ():
            parts.setdefault(name.lower(), []).append(part)
    if shared := [f"{name} ({', '.join(found)})" for name, found in parts.items() if len(found) > 1]:
        raise ValueError(f"more than one part names {', '.join(shared)}; leave each name in one part")


class Division(Section):
    """One division of the corpus in a split with several."""

    train: tuple[PlainName, ...] | None = None
    """Names of the training part. null: all names that dev and test do not list."""
    dev: tuple[PlainName, ...]
    test: tuple[PlainName, ...]


class OfficialSplit(Section):
    """The corpus's own parts (the manifest's `split` column)."""

    by: Literal["official"]
    train: tuple[PlainName, ...] = ("train",)
    """Names of the training part; case is ignored. Clips of parts that no key names are left out."""
    dev: tuple[PlainName, ...] = ("dev", "devel", "development", "valid", "val", "validation")
    """Names of the development part."""
    test: tuple[PlainName, ...] = ("test", "test1")
    """Names of the test part."""
    partitions: tuple[Division, ...] = ()
    """Instead of train, dev and test: several divisions, each scored alone."""

    @model_validator(mode="after")
    def _alone(self) -> OfficialSplit:
        if self.partitions and (named := sorted({"train", "dev", "test"} & self.model_fields_set)):
            raise ValueError(f"{', '.join(named)} and partitions both name the parts; keep one of the two")
        for division in (self, *self.partitions):
            _refuse_shared_parts(division)
        return self


class SpeakerSplit(Section):
    """Speakers named one by one; train may be left out (all others)."""

    by: Literal["speakers"]
    train: tuple[PlainName, ...] | None = None
    dev: tuple[PlainName, ...] = ()
    test: tuple[PlainName, ...] = ()
    partitions: tuple[Division, ...] = ()
    """Instead of train, dev and test: several divisions, each scored alone."""

    @model_validator(mode="after")
    def _either(self) -> SpeakerSplit:
        if self.partitions and (self.train or self.dev or self.test):
            raise ValueError("train, dev or test and partitions both name speakers; keep one of the two")
        if not self.partitions and (missing := [part for part in ("dev", "test") if not getattr(self, part)]):
            raise ValueError(
                f"{' and '.join(missing)} must not be empty; name at least one, or list several divisions in partitions"
            )
        return self


Unit = Literal["speakers", "utterances"]


class FractionSplit(Section):
    """Seeded fractions, of speakers or of utterances."""

    by: Literal["fractions"]
    unit: Unit = "speakers"
    """What is drawn. `speakers`: no speaker is in two parts. `utterances`: a speaker may be in all of them."""
    train: Fraction = 0.70
    dev: Fraction = 0.15
    test: Fraction = 0.15
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _sums(self) -> FractionSplit:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError(f"train + dev + test is {self.train + self.dev + self.test:g}; make the sum 1")
        return self


class FoldSplit(Section):
    """k folds by speaker; each fold tests on one part and uses the next as dev."""

    by: Literal["folds"]
    k: int = Field(5, ge=3)
    seed: int = Field(0, ge=0)


class LeaveOneSpeakerOut(Section):
    """One fold per speaker; dev is the next speaker in order."""

    by: Literal["leave_one_speaker_out"]


class LeaveOnePartOut(Section):
    """One fold per official part, such as the sessions of IEMOCAP; dev is the next part in order."""

    by: Literal["leave_one_part_out"]


class TableColumns(Section):
    """Names of the columns of a split's table."""

    utterance: str = "utterance_id"
    """Column of utterance ids, with or without the corpus's name. An id without `#start-end` means all segments of a recording."""
    part: str | None = None
    """Column of the part: train, dev or test."""
    fold: str | None = None
    """Column of the fold that tests the utterance, in place of `part`. Dev is the next fold, as in `by: folds`."""
    partition: str | None = None
    """Column of the partition, if the table contains several."""

    @model_validator(mode="after")
    def _either(self) -> TableColumns:
        if (self.part is None) == (self.fold is None):
            raise ValueError("name either the column of the part (train, dev, test) or that of the fold")
        return self


class TableSplit(Section):
    """A user's own table of parts or folds; utterances that it does not list are left out."""

    by: Literal["table"]
    file: str
    """CSV or TSV with a header; absolute, or relative to the folder that the study runs in; `${NAME}` and `~` as in `root`."""
    columns: TableColumns = TableColumns(part="part")

    @field_validator("file")
    @classmethod
    def _expand(cls, value: str) -> str:
        return expand_variables(value)


class AllSplit(Section):
    """Training on the whole corpus, except what is drawn for dev; tests are on other corpora only."""

    by: Literal["all"]
    unit: Unit = "speakers"
    """What is drawn for dev: whole speakers, or utterances (Ahn et al. 2024)."""
    dev: Fraction = 0.15
    seed: int = Field(0, ge=0)


Verdict = Literal["refuse", "report"]

Split = Annotated[
    OfficialSplit
    | SpeakerSplit
    | FractionSplit
    | FoldSplit
    | LeaveOneSpeakerOut
    | LeaveOnePartOut
    | TableSplit
    | AllSplit,
    Field(discriminator="by"),
]

_DRAWN = ("fractions", "folds", "all")
"""Splits that are drawn, so that there can be any number of partitions."""
_GIVEN = ("official", "leave_one_speaker_out", "leave_one_part_out")
"""Splits that the corpus itself gives: there is no other division of the kind."""


class Target(Section):
    """Another corpus, to which trainings may adapt: a part is read without labels, the rest is tested."""

    corpus: Name
    """The corpus. Clips with a label in `classes` are used, as with a corpus of `test_also`."""
    share: Fraction = 0.3
    """Share of its clips that trainings may read without labels (Ahn et al. 2024: 0.3)."""
    unit: Unit = "utterances"
    """What is drawn. `utterances`: a speaker may be in both parts (Ahn et al. 2024). `speakers`: in one only."""
    seed: int = Field(0, ge=0)


class Leaks(Section):
    """Overlap of test data with training data: `refuse` stops the task, `report` prints it below the tables.

    docs/evaluation.md says how each is found. The paper tests on other corpora and other speakers than it trains on.
    """

    speakers: Verdict = "refuse"
    """Speakers in more than one of train, dev and test."""
    clips: Verdict = "refuse"
    """Recordings of the training part among the test or development clips. Segments of one file are the same recording where they
    share at least half of the shorter one; with `score: parents`, always."""
    development: Verdict = "refuse"
    """Recordings of the development part among the test clips: the epoch would be chosen on the test."""
    transcripts: Verdict = "report"
    """Sentences of the training part among the test clips. Acted corpora share them by design."""
    stage1_clips: Verdict = "report"
    """Test clips that Stage 1 used, without labels."""
    stage1_speakers: Verdict = "report"
    """Test speakers whose clips Stage 1 used."""
    labels: Verdict = "report"
    """Recordings with two different labels."""
    duplicates: Verdict = "report"
    """Recordings that occur more than once in train, dev or test; training and scores count each copy."""
    target_clips: Verdict = "report"
    """Recordings of the unlabelled part of `target` among its test clips."""
    target_speakers: Verdict = "report"
    """Test speakers of `target` who are in its unlabelled part too."""


class Task(Section):
    """A labelled corpus for training and testing."""

    corpus: Name
    classes: tuple[PlainName, ...] = ()
    """Classes in the order of the logits; at least two. A task has either these or `attributes`."""
    attributes: tuple[Attribute, ...] = ()
    """Emotional attributes to predict, in place of classes: regression with the concordance correlation coefficient (CCC) as loss and
    metric. A clip without a value of an attribute does not count for it."""
    class_map: NameMap = {}
    """Label of a corpus -> class, to rename or merge labels."""
    other_labels: Literal["error", "drop"] = "error"
    """Labels outside `classes`: refuse, or leave those utterances out (counted in the report)."""
    missing_classes: Verdict = "refuse"
    """A test set without a clip of some class (folds pooled; `test_also` corpora too): refuse the task, or report it at the top of
    the report. Scores are over all classes in both cases; a class without test clips counts as 0."""
    split: Split
    partitions: int = Field(1, ge=1)
    """Number of divisions of the corpus; each is scored separately. Drawn splits draw each from their seed; the first is the same as
    without this key. A split with a list `partitions` needs no number. For `by: table`: the number of partitions in the table.
    Goncalves & Busso (2025) have five, each with its own seed (`trials: paired`)."""
    score: Literal["utterances", "parents"] = "utterances"
    """Unit of the scores. `utterances`: each utterance. `parents`: each recording, its segments' outputs averaged."""
    leaks: Leaks = Leaks()
    """Overlap of test data with training data: refuse or report."""
    subsets: tuple[Annotated[int, Field(ge=1)] | Literal["full"], ...] = ("full",)
    """Numbers of training clips; a subset keeps the distribution of classes or attributes."""
    resamplings: int = Field(1, ge=1)
    """Draws of each subset except `full`; the paper has five."""
    draws: Literal["independent", "nested"] = "independent"
    """`nested`: within a draw, each smaller subset is part of the larger ones, so that a curve over sizes shows the gain of more
    clips. `independent`: each size is drawn separately."""
    trials: Literal["crossed", "paired"] = "crossed"
    """How partitions, draws and seeds are combined into trials. `crossed`: all combinations. `paired`: trial i is partition i with draw
    i and seed i; a single partition, draw or seed is used in all trials."""
    test_also: tuple[Name, ...] | dict[Name, Name] = ()
    """Further test corpora, not trained on. A list: all their clips with a label in `classes`, or with a value of an attribute. A mapping
    `corpus: test` takes the test part of the task on that corpus, partition by partition (needs `trials: paired`); of several tasks on
    it, name one, `corpus: task`. `corpus: all` is the whole corpus."""
    target: Target | None = None
    """A further test corpus. Trainings with the method `domain` read a part of it without labels. It is divided anew in each partition."""

    @model_validator(mode="after")
    def _partitions(self) -> Task:
        by, listed = self.split.by, getattr(self.split, "partitions", ())
        if listed and "partitions" not in self.model_fields_set:
            # The section is frozen for everybody else.
            object.__setattr__(self, "partitions", len(listed))
        number = self.partitions
        if listed and len(listed) != number:
            raise ValueError(f"partitions is {number}, and split.partitions lists {len(listed)}; leave partitions out")
        if number > 1 and isinstance(self.split, TableSplit) and self.split.columns.partition is None:
            raise ValueError(f"partitions is {number}; name the table's column in split.columns.partition")
        if number > 1 and not listed and by not in (*_DRAWN, "table") and self.target is None:
            other = (
                "list them in split.partitions" if hasattr(self.split, "partitions") else "split by fractions or folds"
            )
            raise ValueError(
                f"partitions is {number}, and a split by {by} draws nothing, so that there is one; {other}"
            )
        if by == "all" and not self.others:
            raise ValueError(
                "split: {by: all} leaves no clip of the corpus to test on; name other corpora in test_also"
            )
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """Corpora that it is tested on and not trained on with labels."""
        return (*self.test_also, *((self.target.corpus,) if self.target else ()))

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpus that is trained on, then the others."""
        return (self.corpus, *self.others)

    @property
    def tested(self) -> tuple[str, ...]:
        """Corpora with test clips: its own one unless all of its clips are for training, then the others."""
        return self.others if self.split.by == "all" else self.corpora

    @property
    def first_tested(self) -> tuple[str, ...]:
        """Corpora that a table of scores is about unless it names others: its own one, or the others where that has no test clips."""
        return self.others if self.split.by == "all" else (self.corpus,)

    @property
    def tested_parts(self) -> dict[str, str]:
        """Corpora of `test_also` of which a part is tested -> `test`, or the task whose test part it is."""
        chosen = self.test_also if isinstance(self.test_also, dict) else {}
        return {corpus: whose for corpus, whose in chosen.items() if whose != "all"}

    @property
    def divided_by_choice(self) -> bool:
        """Whether its clips could have been divided otherwise: parts were drawn, listed, or read from a table."""
        return self.split.by not in _GIVEN or self.target is not None

    @property
    def kind(self) -> Literal["classes", "attributes"]:
        """What is asked of a clip."""
        return "classes" if self.classes else "attributes"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the models of the task give a number for: its classes or its attributes."""
        return self.classes or self.attributes

    def name_outputs(self, task: str) -> str:
        """Key of the study that lists them, given the task's name."""
        return f"tasks.{task}.{'classes' if self.classes else 'attributes'}"

    def describe_draws(self, subset: str) -> str:
        """How training clips are drawn for a subset; `full` is drawn in one way only."""
        return "" if subset == "full" else self.draws

    @model_validator(mode="after")
    def _classes(self) -> Task:
        if repeated := repeated_values(self.test_also):
            raise ValueError(f"test_also repeats {', '.join(repeated)}; name each corpus once")
        if self.target and self.target.corpus in self.test_also:
            raise ValueError(f"{self.target.corpus} is the target, whose test part is tested; take it out of test_also")
        if bool(self.classes) == bool(self.attributes):
            found = "both" if self.classes else "neither"
            raise ValueError(f"a task has either classes or attributes, this has {found}; name one of the two")
        if self.target and not self.classes:
            raise ValueError("a target is for tasks of classes, and this has attributes; remove target")
        if self.attributes:
            if self.class_map or self.other_labels != "error" or self.missing_classes != "refuse":
                raise ValueError(
                    "class_map, other_labels and missing_classes need classes, and this task has attributes; remove these keys"
                )
            return self
        if len(self.classes) < 2:
            raise ValueError(f"classes holds only {self.classes[0]}; name at least two")
        if wrong := sorted(set(self.class_map.values()) - set(self.classes)):
            raise ValueError(
                f"class_map names {', '.join(wrong)}, which is not among the classes {', '.join(self.classes)}; correct one of the two"
            )
        return self
