"""Notes on a split: clips left out, repeated partitions, lone test speakers, missing classes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import show
from emoadapt.listing.names import describe_counts, note_case_twins, suggest_name
from emoadapt.tasks.divisions import describe_fold
from emoadapt.tasks.left_out import UNITS, count_unnamed, list_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from emoadapt.config import Task


def list_label_notes(
    name: str, task: Task, manifests: Mapping[str, pl.DataFrame], labels: Mapping[str, pl.DataFrame]
) -> list[str]:
    """Sentences about the names of labels and parts, which may say why a partition is refused.

    Args:
        name: the task.
        task: its configuration.
        manifests: corpus -> `schema.MANIFEST` rows.
        labels: corpus -> `schema.LABELS` rows.
    """
    notes = [
        f"{corpus}: {note}"
        for corpus in labels
        for note in note_case_twins("labels", _list_distinct(task, labels[corpus]["label"].to_list()))
    ]
    if task.split.by == "leave_one_part_out":
        # `official` names parts in any case.
        notes += note_case_twins("official parts", manifests[task.corpus]["split"].to_list())
    return [
        *notes,
        *_note_unused_map(name, task, labels),
        *_note_unnamed(name, task, count_unnamed(task, manifests[task.corpus], labels[task.corpus])),
    ]


def _list_distinct(task: Task, labels: Iterable[str | None]) -> list[str | None]:
    """Labels without those of spellings that `class_map` makes one class."""
    found = list(labels)
    meant: dict[str, set[str]] = {}
    for label in set(filter(None, found)):
        meant.setdefault(label.casefold(), set()).add(task.class_map.get(label, label))
    merged = {word for word, names in meant.items() if len(names) == 1}
    return [label for label in found if label and label.casefold() not in merged]


def list_task_notes(name: str, task: Task, splits: pl.DataFrame, choosing: Sequence[str]) -> list[str]:
    """Sentences about a partition, for `emoadapt check`.

    Args:
        name: the task.
        task: its configuration.
        splits: `schema.SPLITS` rows as from `build_task`.
        choosing: fine-tunings that choose something on the dev part.
    """
    return [
        *_note_repeated(name, splits),
        *(_note_dev_classes(task, splits, choosing) if choosing else []),
        *list_class_notes(task, splits),
        *_note_unrated(task, splits),
        *(_describe_lone_speaker(name, task, *found, splits) for found in find_lone_speakers(task, splits).items()),
    ]


def find_lone_speakers(task: Task, splits: pl.DataFrame) -> dict[str, str]:
    """Test corpus -> its speaker, where the test parts of a partition have a single known one, all folds together."""
    tested = splits.filter(pl.col("split") == "test", pl.col("corpus").is_in(task.tested)).drop_nulls("speaker")
    found = tested.group_by("partition", "corpus").agg(pl.col("speaker").unique()).sort("partition")
    lone = found.filter(pl.col("speaker").list.len() == 1).unique("corpus", keep="first", maintain_order=True)
    speakers = {corpus: speaker for corpus, (speaker,) in lone.select("corpus", "speaker").iter_rows()}
    return {corpus: speakers[corpus] for corpus in task.tested if corpus in speakers}


def find_repeated_partitions(splits: pl.DataFrame) -> list[tuple[int, int]]:
    """Partitions that test the clips that an earlier one tests, whatever the order of their folds: (it, the earlier one)."""
    marked = splits.filter(split="test").with_columns(mark=pl.col("utterance_id").hash())
    folds = marked.group_by("partition", "fold").agg(pl.col("mark").sum())
    seen: dict[tuple[int, ...], int] = {}
    repeated = []
    for partition, marks in folds.group_by("partition").agg(pl.col("mark").sort()).sort("partition").iter_rows():
        if (first := seen.setdefault(tuple(marks), partition)) != partition:
            repeated.append((partition, first))
    return repeated


def _note_repeated(name: str, splits: pl.DataFrame) -> list[str]:
    """A note on partitions with the same test clips, as listed ones, those of a table and those of few speakers may have."""
    repeated = find_repeated_partitions(splits)
    if not repeated:
        return []
    shown = show((f"{partition} tests those of {first}" for partition, first in repeated), 3)
    return [
        f"partitions with the test clips of an earlier one are no independent trials, which makes p-values too small: {shown}; "
        f"lower tasks.{name}.partitions, or correct its split"
    ]


def _note_unused_map(name: str, task: Task, labels: Mapping[str, pl.DataFrame]) -> list[str]:
    """A note on keys of `class_map` that no label and no vote of the corpora has."""
    known: set[str] = set()
    for frame in labels.values():
        known |= set(frame["label"].drop_nulls())
        known |= set(frame["soft"].drop_nulls().explode().struct.field("label"))
    notes = []
    for word in sorted(set(task.class_map) - known):
        close = suggest_name(word, known - set(task.class_map))
        hint = f"; is {close} meant?" if close is not None else ""
        notes.append(f"tasks.{name}.class_map: {word} maps no label of {', '.join(labels)}{hint}")
    return notes


def _note_unnamed(name: str, task: Task, unnamed: Mapping[str, int]) -> list[str]:
    if not unnamed:
        return []
    if task.split.by == "table":
        return [f"labelled clips that tasks.{name}.split does not name are left out: {describe_counts(unnamed)}"]
    divisions = getattr(task.split, "partitions", ()) or (task.split,)
    known = [word for division in divisions for word in list_named(division)]
    # A part is known by names in any case; one that only looks like another is probably misspelt.
    meant = {word: close for word in unnamed if (close := suggest_name(word, known)) is not None}
    hint = "".join(f"; is {close} meant by {word}?" for word, close in meant.items())
    return [
        f"labelled clips of {UNITS[task.split.by]}s that tasks.{name}.split does not name are left out: {describe_counts(unnamed)}{hint}"
    ]


def _note_dev_classes(task: Task, splits: pl.DataFrame, choosing: Sequence[str]) -> list[str]:
    lacking, folds = _find_lacking(task, splits.filter(split="dev"))
    if not lacking:
        return []
    said = f"{' and '.join(choosing)} choose{'s' if len(choosing) == 1 else ''} epoch or settings without it"
    if folds == 1:
        (absent,) = lacking.values()
        return [f"dev has no clip of class {', '.join(absent)}: {said}"]
    shown = show((f"{fold}: {', '.join(names)}" for fold, names in lacking.items()), 3)
    return [f"dev has no clip of some class in {len(lacking)} of {folds} folds ({shown}): {said}"]


def _note_test_classes(task: Task, splits: pl.DataFrame) -> list[str]:
    """A note on folds whose own test part lacks a class; where there is one fold, its scores say so."""
    if splits["fold"].n_unique() == 1 or not task.classes:
        return []
    lacking, folds = _find_lacking(task, splits.filter(split="test", corpus=task.corpus))
    if not lacking:
        return []
    shown = show((f"{fold}: {', '.join(names)}" for fold, names in lacking.items()), 3)
    lone = [fold for fold, names in lacking.items() if len(names) == len(task.classes) - 1]
    alone = f"; {show(lone, 3)} {'tests' if len(lone) == 1 else 'test'} one class only" if lone else ""
    return [
        f"the test part has no clip of some class in {len(lacking)} of {folds} folds ({shown}){alone}: folds are scored together, and "
        "the score of such a fold alone means little"
    ]


def _find_lacking(task: Task, rows: pl.DataFrame) -> tuple[dict[str, list[str]], int]:
    """Fold -> classes that it lacks, of folds that lack any; and the number of folds."""
    folds = rows.sort("partition", "fold").partition_by("partition", "fold", as_dict=True, maintain_order=True)
    absent = {
        describe_fold(int(partition), int(fold)): [name for name in task.classes if name not in set(part["label"])]
        for (partition, fold), part in folds.items()
    }
    return {fold: names for fold, names in absent.items() if names}, len(folds)


def describe_confounded(clips: Iterable[tuple[str | None, str | None]]) -> list[str]:
    """Sentences on classes of which one speaker has more than half of the clips, where there are three speakers or more.

    Args:
        clips: class and speaker of each clip; None where it has none.
    """
    counts: dict[str, Counter[str | None]] = {}
    for label, speaker in clips:
        if label is not None:
            counts.setdefault(label, Counter())[speaker] += 1
    if len({speaker for found in counts.values() for speaker in found if speaker}) < 3:
        return []
    notes = []
    for label, found in counts.items():
        speaker, most = max(((name, n) for name, n in found.items() if name), key=lambda item: item[1], default=("", 0))
        if most > found.total() / 2:
            notes.append(
                f"{most} of {found.total()} clips of {label} are of speaker {speaker}: a model may learn the voice"
            )
    return notes


def list_class_notes(task: Task, splits: pl.DataFrame) -> list[str]:
    """Sentences on classes of the task's own corpus that are mostly of one speaker, or not in some test parts.

    Args:
        task: its configuration.
        splits: `schema.SPLITS` rows.
    """
    if not task.classes:
        return []
    clips = splits.filter(corpus=task.corpus).unique("utterance_id").sort("utterance_id")
    confounded = describe_confounded(clips.select("label", "speaker").iter_rows())
    return [*confounded, *_note_test_classes(task, splits)]


def _note_unrated(task: Task, splits: pl.DataFrame) -> list[str]:
    notes = []
    for corpus in task.test_also:
        tested = splits.filter(corpus=corpus, split="test")
        # The same as `check_attributes` asks of the task's own corpus.
        lacking = [name for name in task.attributes if tested[name].drop_nulls().n_unique() < 2]
        if lacking:
            notes.append(
                f"{corpus} has fewer than two different values of {', '.join(lacking)}: its mean CCC leaves that out"
            )
    return notes


def _describe_lone_speaker(name: str, task: Task, corpus: str, speaker: str, splits: pl.DataFrame) -> str:
    tested = splits.filter(split="test", corpus=corpus).sort("partition")
    folds = tested.partition_by("partition", as_dict=True, maintain_order=True)
    alone = {
        number: rows.unique("utterance_id")["speaker"]
        for (number,), rows in folds.items()
        if rows["speaker"].drop_nulls().n_unique() == 1
    }
    advice = ""
    if corpus == task.corpus and task.split.by in ("fractions", "speakers"):
        advice = f"; tasks.{name}.split: {{by: leave_one_speaker_out}} tests on every speaker"
    if len(alone) > 1:
        shown = show((f"{number}: {speakers.drop_nulls()[0]}" for number, speakers in alone.items()), 5)
        known = " known" if any(speakers.null_count() for speakers in alone.values()) else ""
        where = f"in {len(alone)} of {len(folds)} partitions the test set of {corpus}"
        return f"{where} has one{known} speaker ({shown}): these scores say nothing about other speakers{advice}"
    ((partition, speakers),) = alone.items()
    where = f"{corpus} in partition {partition}" if len(folds) > 1 else corpus
    if unknown := speakers.null_count():
        return f"the test set of {where} has one known speaker ({speaker}), and {unknown:,} clips of unknown speakers"
    return f"the test set of {where} has one speaker ({speaker}): its scores say nothing about other speakers{advice}"
