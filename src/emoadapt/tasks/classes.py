"""Labels of corpora mapped to classes of tasks, with counts and missing classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import Change, CorpusError, Fix, Problem, find_near, show
from emoadapt.fixes import take_out
from emoadapt.listing.emotions import suggest_class
from emoadapt.listing.names import describe_counts
from emoadapt.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
            f"folder with corpora.{corpus}.label_from: parent, or label_pattern) or from a table (importer csv with columns.label), or name another corpus",
            Change(f"corpora.{corpus}.label_from", "parent", "with importer: folder"),
            Change(f"corpora.{corpus}.columns.label", "COLUMN", "with importer: csv"),
        )
    counts = count_labels(task, labelled)
    _refuse_outside(task_name, task, counts, corpus)
    if corpus == task.corpus:
        _refuse_absent(task_name, task, counts, corpus)
    mapped = labelled.with_columns(pl.col("label").replace(task.class_map))
    return mapped.filter(pl.col("label").is_in(task.classes))


def _refuse_outside(task_name: str, task: Task, counts: LabelCounts, corpus: str) -> None:
    """Refuse labels that are no classes, unless they are to be left out and enough is left."""
    key, classes = f"tasks.{task_name}", ", ".join(task.classes)
    mapping = propose_map(task_name, task, counts.outside)
    whole = Change(
        mapping.key, dict.fromkeys(sorted(counts.outside), "CLASS") | mapping.value, "a class for each label"
    )
    labels = {*counts.outside, *(name for name, number in counts.classes.items() if number)}
    rename = Change(f"{key}.classes", sorted(labels), "the labels themselves")
    advice = f"set {mapping}" if mapping.value != task.class_map else f"map them with {mapping.key}"
    if not any(counts.classes.values()):
        own = corpus == task.corpus and len(labels) > 1
        raise CorpusError(
            f"task {task_name}: none of the labels of corpus {corpus} ({describe_counts(counts.outside)}) "
            f"is one of the classes {classes}; {advice}" + (f", or name them in {key}.classes" if own else ""),
            whole,
            *([rename] if own else []),
        )
    if counts.outside and corpus == task.corpus and task.other_labels == "error":
        drop = Change(f"{key}.other_labels", "drop", "leave these clips out")
        enough = sum(number > 0 for number in counts.classes.values()) > 1
        raise CorpusError(
            f"task {task_name}: labels of corpus {corpus} that are none of its classes ({classes}): "
            f"{describe_counts(counts.outside)}; {advice}, "
            + (f"add a class, or set {drop}" if enough else "or add a class"),
            whole,
            *([drop] if enough else [rename]),
        )


def _refuse_absent(task_name: str, task: Task, counts: LabelCounts, corpus: str) -> None:
    """Refuse classes that no clip of the corpus trained on has: no division could train them."""
    if not (absent := [name for name, number in counts.classes.items() if not number]):
        return
    meant = _find_meant(task, absent, counts.outside)
    spelled = [name for name in absent if name in meant.values()]
    lacking = [name for name in absent if name not in spelled]
    problems = []
    if spelled:
        # All labels at once: a map of some of them would only lead to the next refusal.
        mapping = Change(f"tasks.{task_name}.class_map", {**task.class_map, **meant})
        advice, out = f"set {mapping}", [] if lacking else _take_out(task_name, task, spelled)
        advice += f", or take {', '.join(spelled)} out of tasks.{task_name}.classes" if out else ""
        problems.append(_say_absent(task_name, task, spelled, counts, corpus, advice, [mapping, *out]))
    if lacking:
        out = _take_out(task_name, task, lacking)
        advice = f"take {', '.join(lacking)} out of tasks.{task_name}.classes"
        if not out:
            advice = f"map a label to each with tasks.{task_name}.class_map, or name other classes"
        problems.append(_say_absent(task_name, task, lacking, counts, corpus, advice, out))
    raise CorpusError(problems)


def _say_absent(
    task_name: str, task: Task, names: list[str], counts: LabelCounts, corpus: str, advice: str, fixes: Sequence[Fix]
) -> Problem:
    said = f"task {task_name}: no clip of corpus {corpus} has {_describe_absent(task, names, counts)}; {advice}"
    return Problem("", said, *fixes)


def _take_out(task_name: str, task: Task, names: list[str]) -> list[Change]:
    """The classes without some of them; nothing where fewer than two would be left."""
    left = [name for name in task.classes if name not in names]
    return [Change(f"tasks.{task_name}.classes", left, f"without {', '.join(names)}")] if len(left) > 1 else []


def _describe_absent(task: Task, classes: list[str], counts: LabelCounts) -> str:
    """Labels that no clip has, and those that there are."""
    words = [word for name in classes for word in (name, *(w for w, to in task.class_map.items() if to == name))]
    there = counts.outside | {name: number for name, number in counts.classes.items() if number}
    mapped = " after class_map" if task.class_map else ""
    which = "the label" if len(words) == 1 else "one of the labels"
    return f"{which} {show(words, _LISTED)}; its labels are {describe_counts(there)}{mapped}"


def _find_meant(task: Task, absent: Sequence[str], outside: Mapping[str, int]) -> dict[str, str]:
    """Label outside the classes -> class that it seems to mean; classes without clips are guessed more freely."""
    meant = {label: name for label in sorted(outside) if (name := suggest_class(label, task.classes)) is not None}
    for name in absent:
        if name not in meant.values() and (near := find_near(name, outside.keys() - meant.keys())) is not None:
            meant[near] = name
    return meant


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


def propose_map(task_name: str, task: Task, outside: dict[str, int]) -> Change:
    """Propose a `class_map` with the labels that seem to mean a class; it is the present one where none does."""
    return Change(f"tasks.{task_name}.class_map", {**task.class_map, **_find_meant(task, (), outside)})


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
    if (advice := propose_map(task_name, task, dropped)).value != task.class_map:
        lines.append(f"  note: some of the dropped labels seem to mean a class: set {advice}")
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
        for corpus in task.tested
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
    found, taken = list[str](), list[str]()
    # One map of the labels of all test sets: that of a single one would only lead to the next refusal.
    outside = {label: number for corpus in missing for label, number in labels[corpus].outside.items()}
    mapping = propose_map(task_name, task, outside)
    for corpus, names in missing.items():
        partitions = map(str, _list_missing(task, splits, corpus))
        where = f" in partition {show(partitions)}" if task.partitions > 1 or corpus in task.tested_parts else ""
        text, takes = _describe_missing(task_name, task, corpus, names, labels[corpus], where)
        found.append(text)
        taken += [corpus] if takes else []
    fixes: list[Fix] = [take_out(f"tasks.{task_name}.test_also", task.test_also, *taken)] if taken else []
    if mapping.value != task.class_map:
        found[-1] += f"; set {mapping}"
        fixes.insert(0, mapping)
    lacking = {name for names in missing.values() for name in names}
    if len(left := [name for name in task.classes if name not in lacking]) > 1:
        fixes.append(Change(f"tasks.{task_name}.classes", left, f"without {', '.join(sorted(lacking))}"))
    report = Change(f"tasks.{task_name}.missing_classes", "report")
    raise CorpusError(
        f"task {task_name}: {'; '.join(found)}. Or take the class out of tasks.{task_name}.classes; or set "
        f"{report}, and it counts as 0 in the averages over all classes",
        *fixes,
        report,
    )


def _describe_missing(
    task_name: str, task: Task, corpus: str, names: list[str], labels: LabelCounts, where: str
) -> tuple[str, bool]:
    """One test set that lacks classes and what to do unless `class_map` helps; and whether that is not to test on it."""
    text = f"no test clip of corpus {corpus} is of class {show(names, _LISTED)}{where}"
    if not any(labels.classes[name] for name in names):
        text = f"no clip of corpus {corpus} has {_describe_absent(task, names, labels)}"
    elif labels.outside:
        text += f" (labels left out there: {describe_counts(labels.outside)})"
    if propose_map(task_name, task, labels.outside).value != task.class_map:
        return text, False  # one map is proposed for all test sets
    if corpus == task.corpus:
        return f"{text}; choose another tasks.{task_name}.split", False
    if task.target and corpus == task.target.corpus:
        return f"{text}; choose another target, or another share or seed of it", False
    return f"{text}; take {corpus} out of tasks.{task_name}.test_also", True
