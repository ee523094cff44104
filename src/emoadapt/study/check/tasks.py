"""Check of a task: labels, classes, parts, subsets and leaks."""

from __future__ import annotations

import io
from collections.abc import Collection
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import EmoadaptError
from emoadapt.listing.reading import describe_source
from emoadapt.tasks.classes import describe_labels
from emoadapt.tasks.divisions import list_parts
from emoadapt.tasks.leaks import (
    REMARKS,
    describe_clips,
    describe_leak,
    describe_unchecked,
    explain_refusals,
    find_leaks,
)
from emoadapt.tasks.notes import list_label_notes, list_task_notes
from emoadapt.tasks.splits import build_task
from emoadapt.tasks.subsets import draw_subsets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emoadapt.config import Study, Task
    from emoadapt.study.check.listings import Listings


def find_task_problems(listings: Listings, name: str) -> list[str]:
    """List problems of a task whose corpora can be listed: labels, classes, split, subsets, leaks."""
    problems: list[str] = []
    with redirect_stdout(io.StringIO()):
        check_task(listings, name, listings.study.corpora, problems, only_refused=True)
    return problems


def check_task(
    listings: Listings, name: str, usable: Collection[str], problems: list[str], *, only_refused: bool = False
) -> None:
    """Print the parts, notes and leaks of a task.

    Args:
        listings: the corpora of the study.
        name: the task; its corpora can be listed.
        usable: corpora that can be listed. Adaptations on others are not compared with the test sets.
        problems: takes what would stop a run.
        only_refused: do not look for leaks that are only reported.
    """
    study = listings.study
    task = study.tasks[name]
    corpora = (task.corpus, *task.test_also)
    try:
        clips = {corpus: listings.read_manifest(corpus) for corpus in corpora}
        labels = {corpus: listings.read_labels(corpus) for corpus in corpora}
        for corpus in corpora if task.classes else ():
            print("\n".join(describe_labels(name, task, labels[corpus], corpus)))
        # Before the split, which they may explain if it is refused.
        for note in list_label_notes(name, task, clips, labels):
            print(f"  note: {note}")
        splits = build_task(name, task, clips, labels, study.list_tested_tasks(name))
        for subset in task.subsets:
            draw_subsets(splits, task, subset, name)
    except EmoadaptError as error:
        problems.append(str(error))
        return
    for line in _describe_parts(name, task, splits):
        print(line)
    for note in list_task_notes(name, task, splits):
        print(f"  note: {note}")
    print(f"  labels: {describe_source(study.corpora[task.corpus])}")
    for note in _note_unknown_speakers(study, name, splits):
        print(f"  note: {note}")
    stage1 = {a: study.adaptations[a].corpora for a in study.adaptations_of(name)}
    stage1 = {a: used for a, used in stage1.items() if set(used) <= set(usable)}
    clips |= {corpus: listings.read_manifest(corpus) for used in stage1.values() for corpus in used}
    leaks = find_leaks(name, task, splits, describe_clips(study, clips), stage1, only_refused=only_refused)
    # Copies within Stage 1 are printed with the adaptation.
    for row in leaks.filter(pl.col("kind") != "stage1_copies", verdict="reported").iter_rows(named=True):
        if row["kind"] in REMARKS:
            print(f"  note: {describe_leak(row)}")
        else:
            print(f"  leak: {describe_leak(row)}; only reported (tasks.{name}.leaks.{row['kind']})")
    for note in describe_unchecked(task, leaks):
        print(f"  note: {note}")
    problems += explain_refusals(leaks)


def _describe_parts(name: str, task: Task, splits: pl.DataFrame) -> Iterator[str]:
    """A line for each part of the first fold: clips, speakers, classes or attributes."""
    first = splits.filter(partition=0, fold=0, corpus=task.corpus)
    folds = splits["fold"].n_unique()
    shown = [f"fold 0 of {folds}"] if folds > 1 else []
    shown += [f"partition 0 of {task.partitions}, see emoadapt plan --partitions"] if task.partitions > 1 else []
    where = f" ({', '.join(shown)})" if shown else ""
    for part in list_parts(task):
        chosen = first.filter(split=part)
        counts = ", ".join(
            [f"{label} {chosen.filter(label=label).height}" for label in task.classes]
            + [f"{chosen[attribute].count()} rated for {attribute}" for attribute in task.attributes]
        )
        speakers = chosen["speaker"].drop_nulls().n_unique()
        who = f"{speakers or 'unknown'} speaker{'s' if speakers != 1 else ''}"
        unknown = chosen["speaker"].null_count() if speakers else 0
        who += f" ({unknown} clips without a speaker)" if unknown else ""
        yield f"task {name}, {part}: {chosen.height} clips of {who}: {counts}{where}"


def _note_unknown_speakers(study: Study, task: str, splits: pl.DataFrame) -> list[str]:
    """Note the clips without a speaker under `normalise: speaker`."""
    keys = [
        f"finetunings.{name}.normalise"
        for name in dict.fromkeys(model.finetuning for model in study.list_models(task))
        if getattr(study.finetunings[name], "normalise", None) == "speaker"
    ]
    unknown = splits.unique("utterance_id")["speaker"].null_count()
    if not keys or not unknown:
        return []
    return [f"{unknown} clips have no speaker, and are z-scored with their corpus instead ({', '.join(keys)}: speaker)"]
