"""Notes on a task's partition: clips left out, a single test speaker, a development part without a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from emoadapt.corpora.base import show
from emoadapt.corpora.names import describe_counts, note_case_twins, suggest_name
from emoadapt.tasks.classes import count_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emoadapt.config import Task

_PARTS = ("train", "dev", "test")

_UNCHECKED = {
    "speakers": ("speakers", "without a speaker"),
    "clips": ("recordings", "that cannot be read"),
    "transcripts": ("sentences", "without a transcript"),
    "stage1_clips": ("recordings", "that cannot be read"),
    "stage1_speakers": ("speakers", "without a speaker"),
}
"""Kind -> what is compared, and clips that cannot be."""


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
        for note in note_case_twins("labels", labels[corpus]["label"].to_list())
    ]
    if task.split.by == "leave_one_part_out":
        # `official` names parts in any case.
        notes += note_case_twins("official parts", manifests[task.corpus]["split"].to_list())
    return [
        *notes,
        *_note_unused_map(name, task, labels),
        *_note_unnamed(name, task, count_unnamed(task, manifests[task.corpus], labels[task.corpus])),
    ]


def list_task_notes(name: str, task: Task, splits: pl.DataFrame) -> list[str]:
    """Sentences about a partition, for `emoadapt check`.

    Args:
        name: the task.
        task: its configuration.
        splits: `schema.SPLITS` rows as from `build_task`.
    """
    return [
        *_note_dev_classes(task, splits),
        *_note_unrated(task, splits),
        *(_describe_lone_speaker(name, task, corpus, splits) for corpus in find_lone_speakers(task, splits)),
    ]


def describe_left_out(task: Task, manifests: Mapping[str, pl.DataFrame], labels: Mapping[str, pl.DataFrame]) -> str:
    """Count clips that are in no part of a task, by reason; `none` without any.

    Args:
        task: its configuration.
        manifests: corpus -> `schema.MANIFEST` rows.
        labels: corpus -> `schema.LABELS` rows.
    """
    reasons = []
    for corpus in sorted({task.corpus, *task.test_also}):
        parts = []
        if task.classes:
            counts = count_labels(task, labels[corpus])
            parts += [f"label {describe_counts(counts.outside)}"] if counts.outside else []
            unlabelled = counts.unlabelled
        else:
            unlabelled = labels[corpus].height - _take_labelled(task, labels[corpus]).height
        parts += [f"without a label {unlabelled}"] if unlabelled else []
        if corpus == task.corpus and (unnamed := count_unnamed(task, manifests[corpus], labels[corpus])):
            parts.append(f"{_unit(task)} {describe_counts(unnamed)}")
        if parts:
            reasons.append(f"{corpus}: {'; '.join(parts)}")
    return ". ".join(reasons) or "none"


def count_unnamed(task: Task, manifest: pl.DataFrame, labels: pl.DataFrame) -> dict[str, int]:
    """Official part, or speaker, that the split names nowhere -> its labelled clips, which are left out.

    Args:
        task: its configuration.
        manifest: `schema.MANIFEST` rows of the task's corpus.
        labels: `schema.LABELS` rows of the same.
    """
    if task.split.by == "official":
        column, name = "split", pl.col("split").str.to_lowercase()
    elif task.split.by == "speakers" and task.split.train is not None:
        column, name = "speaker", pl.col("speaker")
    else:
        return {}
    named = {word for part in _PARTS for word in getattr(task.split, part) or ()}
    if column == "split":
        named = {word.lower() for word in named}
    left = manifest.join(_take_labelled(task, labels), on="utterance_id", how="semi")
    left = left.drop_nulls(column).filter(~name.is_in(list(named)))
    return dict(left.group_by(column).len().sort(column).iter_rows())


def find_lone_speakers(task: Task, splits: pl.DataFrame) -> dict[str, str]:
    """Test corpus -> its speaker, where the test parts of all folds have a single known one."""
    tested = splits.filter(split="test")
    speakers = {
        c: tested.filter(corpus=c)["speaker"].drop_nulls().unique().to_list() for c in (task.corpus, *task.test_also)
    }
    return {c: found[0] for c, found in speakers.items() if len(found) == 1}


def describe_unchecked(task: Task, leaks: pl.DataFrame) -> list[str]:
    """Sentences about clips among which a leak could not be looked for.

    Few corpora have transcripts: that sentences were not compared is only said where they are refused.

    Args:
        task: its configuration.
        leaks: its LEAKS rows.
    """
    kinds = _UNCHECKED if task.refuses("transcripts") else {k: v for k, v in _UNCHECKED.items() if k != "transcripts"}
    sentences = []
    for (kind, corpus), rows in (
        leaks.filter(pl.col("unchecked") > 0, pl.col("kind").is_in(list(kinds)))
        .partition_by("kind", "corpus", as_dict=True, maintain_order=True)
        .items()
    ):
        what, why = kinds[str(kind)]
        pairs = ", ".join(f"{between} {count:,}" for between, count in rows.select("between", "unchecked").rows())
        sentences.append(f"shared {what} were not looked for among clips {why} (of {corpus}, {pairs})")
    return sentences


def _take_labelled(task: Task, labels: pl.DataFrame) -> pl.DataFrame:
    """Rows with one of the task's classes, or with a value of one of its attributes."""
    if task.classes:
        return labels.filter(pl.col("label").replace(task.class_map).is_in(task.classes))
    return labels.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in task.attributes))


def _unit(task: Task) -> str:
    return "part" if task.split.by == "official" else "speaker"


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
    known = [name for part in _PARTS for name in getattr(task.split, part) or ()]
    # A part is known by names in any case; one that only looks like another is probably misspelt.
    meant = {word: close for word in unnamed if (close := suggest_name(word, known)) is not None}
    hint = "".join(f"; is {close} meant by {word}?" for word, close in meant.items())
    return [
        f"labelled clips of {_unit(task)}s that tasks.{name}.split does not name are left out: {describe_counts(unnamed)}{hint}"
    ]


def _note_dev_classes(task: Task, splits: pl.DataFrame) -> list[str]:
    developed = splits.filter(split="dev")
    folds = sorted(set(developed["fold"]))
    lacking = {}
    for fold in folds:
        present = set(developed.filter(fold=fold)["label"])
        if absent := [name for name in task.classes if name not in present]:
            lacking[fold] = absent
    if not lacking:
        return []
    if len(folds) == 1:
        return [f"dev has no clip of class {', '.join(lacking[folds[0]])}: the epoch is chosen without it"]
    shown = show((f"fold {fold}: {', '.join(names)}" for fold, names in lacking.items()), 3)
    return [
        f"dev has no clip of some class in {len(lacking)} of {len(folds)} folds ({shown}): epochs are chosen without it"
    ]


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


def _describe_lone_speaker(name: str, task: Task, corpus: str, splits: pl.DataFrame) -> str:
    tested = splits.filter(split="test", corpus=corpus).unique("utterance_id")["speaker"]
    (speaker,), unknown = tested.drop_nulls().unique(), tested.null_count()
    if unknown:
        return f"the test set of {corpus} has one known speaker ({speaker}), and {unknown:,} clips of unknown speakers"
    text = f"the test set of {corpus} has one speaker ({speaker}): its scores say nothing about other speakers"
    if corpus == task.corpus and task.split.by in ("fractions", "speakers"):
        text += f"; tasks.{name}.split: {{by: leave_one_speaker_out}} tests on every speaker"
    return text
