"""Labels of corpora mapped to classes of tasks, with counts and missing classes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import CorpusError, show
from emoadapt.listing.emotions import suggest_class
from emoadapt.listing.names import describe_counts
from emoadapt.schema import SPLITS
from emoadapt.tasks.divisions import list_tested

if TYPE_CHECKING:
    from emoadapt.config import Task

_VOTES = pl.DataFrame(SPLITS.empty_table()).schema["soft"]
_LISTED = 20
"""Labels that a message names."""


@dataclass(frozen=True)
class LabelCounts:
    """Clips of a corpus, by what a task makes of their labels.

    Attributes:
        classes: class -> clips, all classes of the task.
        outside: label that is none of the classes -> clips.
        unlabelled: clips without a label.
    """

    classes: dict[str, int]
    outside: dict[str, int]
    unlabelled: int


def count_labels(task: Task, labels: pl.DataFrame) -> LabelCounts:
    """Count a corpus's labels.

    Args:
        task: its configuration (`class_map`, `classes`).
        labels: column `label`, a row per clip.
    """
    classes, outside, unlabelled = dict.fromkeys(task.classes, 0), Counter[str](), 0
    for label, number in labels.group_by("label").len().iter_rows():
        name = task.class_map.get(label, label)
        if label is None:
            unlabelled += number
        elif name in classes:
            classes[name] += number
        else:
            outside[label] += number
    return LabelCounts(classes, dict(outside), unlabelled)


def map_labels(task_name: str, task: Task, labels: pl.DataFrame, corpus: str) -> pl.DataFrame:
    """Turn a corpus's labels into the task's classes; utterances without a label are left out.

    Labels outside the classes are refused or left out, as `other_labels` says; in a corpus that is only tested on
    they are always left out.

    Args:
        task_name: for messages.
        task: its configuration (`class_map`, `classes`, `other_labels`).
        labels: columns `utterance_id` and `label`.
        corpus: the corpus they belong to.

    Returns:
        Columns `utterance_id` and `label` (a class).

    Raises:
        CorpusError: a label outside the classes (labels and their counts are named), or nothing is left.
    """
    labelled = labels.select("utterance_id", "label").drop_nulls()
    if labelled.is_empty():
        raise CorpusError(
            f"task {task_name}: corpus {corpus} has no labels; take them from the names of its folders or files (importer "
            f"folder with corpora.{corpus}.label_from: parent, or label_pattern) or from a table (importer csv with columns.label), or name another corpus"
        )
    counts = count_labels(task, labelled)
    classes = ", ".join(task.classes)
    advice = suggest_map(task_name, task, counts.outside) or f"map them with tasks.{task_name}.class_map"
    if counts.outside and corpus == task.corpus and task.other_labels == "error":
        raise CorpusError(
            f"task {task_name}: labels of corpus {corpus} that are none of its classes ({classes}): "
            f"{describe_counts(counts.outside)}; {advice}, add a class, or set tasks.{task_name}.other_labels: drop"
        )
    if not any(counts.classes.values()):
        raise CorpusError(
            f"task {task_name}: none of the labels of corpus {corpus} ({describe_counts(counts.outside)}) "
            f"is one of the classes {classes}; {advice}"
        )
    mapped = labelled.with_columns(pl.col("label").replace(task.class_map))
    return mapped.filter(pl.col("label").is_in(task.classes))


def share_votes(task: Task, labels: pl.DataFrame) -> pl.DataFrame:
    """Turn label distributions into shares of the task's classes; votes for other labels are left out.

    Args:
        task: its configuration (`class_map`, `classes`).
        labels: columns `utterance_id` and `soft`.

    Returns:
        Columns `utterance_id` and `soft`: shares in the order of the classes, of the clips that have a vote for one of them.
    """
    position = {name: place for place, name in enumerate(task.classes)}
    shares: dict[str, list[float]] = {}
    for clip, votes in labels.select("utterance_id", "soft").drop_nulls().iter_rows():
        weights = [0.0] * len(position)
        for vote in votes:
            place = position.get(task.class_map.get(vote["label"], vote["label"]))
            if place is not None:
                weights[place] += vote["weight"]
        if (total := sum(weights)) > 0:
            shares[clip] = [weight / total for weight in weights]
    columns = {"utterance_id": pl.String, "soft": _VOTES}
    return pl.DataFrame({"utterance_id": list(shares), "soft": list(shares.values())}, schema=columns)


def suggest_map(task_name: str, task: Task, outside: dict[str, int]) -> str:
    """The `class_map` for labels that seem to mean a class: `set tasks.t.class_map: {happy: happiness}`; empty without any."""
    meant = {label: name for label in sorted(outside) if (name := suggest_class(label, task.classes)) is not None}
    if not meant:
        return ""
    pairs = ", ".join(f"{_quote(label)}: {_quote(name)}" for label, name in {**task.class_map, **meant}.items())
    return f"set tasks.{task_name}.class_map: {{{pairs}}}"


def describe_labels(task_name: str, task: Task, labels: pl.DataFrame, corpus: str) -> list[str]:
    """Lines with the counts of a corpus's labels in a task.

    A second line gives advice where a dropped label seems to mean a class.

    Args:
        task_name: for messages.
        task: its configuration.
        labels: column `label`.
        corpus: the corpus they belong to.
    """
    counts = count_labels(task, labels)
    parts = [", ".join(f"{name} {n}" for name, n in counts.classes.items())]
    dropped = counts.outside if task.other_labels == "drop" or corpus != task.corpus else {}
    if dropped:
        parts.append(f"dropped: {describe_counts(dropped)}")
    if counts.unlabelled:
        parts.append(f"without a label: {counts.unlabelled}")
    lines = [f"task {task_name}, labels of {corpus}: {'; '.join(parts)}"]
    if advice := suggest_map(task_name, task, dropped):
        lines.append(f"  note: some of the dropped labels seem to mean a class: {advice}")
    return lines


def find_missing_classes(task: Task, splits: pl.DataFrame) -> dict[str, list[str]]:
    """Test corpus -> classes of the task without a test clip there in some partition.

    Args:
        task: its configuration.
        splits: `schema.SPLITS` rows. Scores are of the test parts of all folds of a partition together, so that is what is
            looked at.
    """
    return {
        corpus: sorted(lacking, key=task.classes.index)
        for corpus in list_tested(task)
        if (lacking := {name for names in _list_missing(task, splits, corpus).values() for name in names})
    }


def _list_missing(task: Task, splits: pl.DataFrame, corpus: str) -> dict[int, list[str]]:
    """Partition -> classes without a test clip of a corpus there."""
    tested = splits.filter(split="test", corpus=corpus).group_by("partition").agg(pl.col("label").unique())
    present = dict(tested.iter_rows())
    missing = {
        partition: [name for name in task.classes if name not in present.get(partition, ())]
        for partition in splits["partition"].unique().sort()
    }
    return {partition: names for partition, names in missing.items() if names}


def check_test_classes(task_name: str, task: Task, splits: pl.DataFrame, labels: dict[str, LabelCounts]) -> None:
    """Refuse test sets that lack a class, unless `missing_classes: report`.

    Args:
        task_name: for messages.
        task: its configuration.
        splits: `schema.SPLITS` rows of all its corpora.
        labels: corpus -> its labels, for the message.

    Raises:
        CorpusError: all test sets and the classes that they lack.
    """
    if task.missing_classes == "report" or not (missing := find_missing_classes(task, splits)):
        return
    found = []
    for corpus, names in missing.items():
        partitions = map(str, _list_missing(task, splits, corpus))
        where = f" in partition {show(partitions)}" if task.partitions > 1 or corpus in task.tested_parts else ""
        found.append(_describe_missing(task_name, task, corpus, names, labels, where))
    raise CorpusError(
        f"task {task_name}: {'; '.join(found)}. Or take the class out of tasks.{task_name}.classes; or set "
        f"tasks.{task_name}.missing_classes: report, and it counts as 0 in the averages over all classes"
    )


def _describe_missing(
    task_name: str, task: Task, corpus: str, names: list[str], labels: dict[str, LabelCounts], where: str
) -> str:
    """One test set that lacks classes, and what to do."""
    text = f"no test clip of corpus {corpus} is of class {show(names, _LISTED)}{where}"
    outside = labels[corpus].outside
    if outside:
        text += f" (labels left out there: {describe_counts(outside)})"
    if advice := suggest_map(task_name, task, outside):
        return f"{text}; {advice}"
    if corpus == task.corpus:
        return f"{text}; choose another tasks.{task_name}.split"
    if task.target and corpus == task.target.corpus:
        return f"{text}; choose another target, or another share or seed of it"
    return f"{text}; take {corpus} out of tasks.{task_name}.test_also"


def _quote(text: str) -> str:
    """Text as it must be written in YAML."""
    words = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    plain = re.fullmatch(r"[A-Za-z][\w-]*", text) and text.lower() not in words
    return text if plain else "'" + text.replace("'", "''") + "'"
