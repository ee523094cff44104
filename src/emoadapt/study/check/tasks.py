"""Check of a task: labels, classes, parts, subsets and leaks."""

from __future__ import annotations

import io
from collections.abc import Collection
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import polars as pl

from emoadapt.data.vectors import find_small_groups
from emoadapt.errors import Change, EmoadaptError, Problem, name_count
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
from emoadapt.tasks.targets import describe_target, list_readers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from emoadapt.config import Study, Task
    from emoadapt.study.check.listings import Listings


def find_task_problems(listings: Listings, name: str) -> list[Problem]:
    """List problems of a task whose corpora can be listed: labels, classes, split, subsets, leaks."""
    problems: list[Problem] = []
    with redirect_stdout(io.StringIO()):
        check_task(listings, name, listings.study.corpora, problems, only_refused=True)
    return problems


def check_task(
    listings: Listings, name: str, usable: Collection[str], problems: list[Problem], *, only_refused: bool = False
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
    corpora = task.corpora
    try:
        clips = {corpus: listings.read_manifest(corpus) for corpus in corpora}
        labels = {corpus: listings.read_labels(corpus) for corpus in corpora}
        for corpus in corpora if task.classes else ():
            print("\n".join(describe_labels(name, task, labels[corpus], corpus)))
        # Before the split, which they may explain if it is refused.
        for note in list_label_notes(name, task, clips, labels):
            print(f"  note: {note}")
        splits = build_task(name, task, clips, labels, study.list_tested_tasks(name))
        drawn = {str(subset): draw_subsets(splits, task, subset, name) for subset in task.subsets}
    except EmoadaptError as error:
        problems += error.problems
        return
    for line in _describe_parts(name, task, splits):
        print(line)
    choosing = [one for one, settings in _list_finetunings(study, name).items() if settings.chooses_on_dev]
    for note in list_task_notes(name, task, splits, choosing):
        print(f"  note: {note}")
    print(f"  labels: {describe_source(study.corpora[task.corpus])}")
    if said := describe_target(task, splits):
        who = ", ".join(list_readers(study, name))
        about = f"scores of {who} there are those of adaptation to this corpus" if who else "no fine-tuning reads them"
        print(f"  target: {said}; {about}")
    for note in _note_statistics(study, name, splits):
        print(f"  note: {note}")
    problems += _find_lone_speakers(study, name, splits, drawn)
    stage1 = {a: study.adaptations[a].corpora for a in study.adaptations_of(name)}
    stage1 = {a: used for a, used in stage1.items() if set(used) <= set(usable)}
    clips |= {corpus: listings.read_manifest(corpus) for used in stage1.values() for corpus in used}
    compared = describe_clips(study, clips)
    leaks = find_leaks(name, task, splits, compared, stage1, only_refused=only_refused)
    # Copies within Stage 1 are printed with the adaptation.
    for row in leaks.filter(pl.col("kind") != "stage1_copies", verdict="reported").iter_rows(named=True):
        if row["kind"] in REMARKS:
            print(f"  note: {describe_leak(row)}")
        else:
            print(f"  leak: {describe_leak(row)}; only reported (tasks.{name}.leaks.{row['kind']})")
    for note in describe_unchecked(task, leaks, splits, compared, stage1):
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
        who = name_count(speakers, "speaker") if speakers else "unknown speakers"
        unknown = chosen["speaker"].null_count() if speakers else 0
        who += f" ({name_count(unknown, 'clip')} without a speaker)" if unknown else ""
        yield f"task {name}, {part}: {name_count(chosen.height, 'clip')} of {who}: {counts}{where}"


def _list_finetunings(study: Study, task: str) -> dict[str, Any]:
    """Fine-tunings that are trained on a task."""
    names = dict.fromkeys(model.finetuning for model in study.list_models(task))
    return {name: study.finetunings[name] for name in names}


def _note_statistics(study: Study, task: str, splits: pl.DataFrame) -> list[str]:
    """Note speakers and corpora that are too small to z-score vectors with, and clips without a speaker."""
    return [
        f"finetunings.{name}.normalise: {settings.normalise}: {sentence}"
        for name, settings in _list_finetunings(study, task).items()
        for sentence in find_small_groups(splits, splits["utterance_id"], getattr(settings, "normalise", "train"))
    ]


def _find_lone_speakers(
    study: Study, task: str, splits: pl.DataFrame, drawn: Mapping[str, pl.DataFrame]
) -> list[Problem]:
    """Fine-tunings that choose by inner folds where the training clips of a run have no two speakers, or unknown ones.

    Args:
        study: the study.
        task: its name.
        splits: SPLITS rows.
        drawn: number of training clips -> rows of `draw_subsets`.
    """
    problems = []
    for setting in study.list_settings(task):
        name, subset = setting.model.finetuning, setting.subset
        settings: Any = study.finetunings[name]
        if not getattr(settings, "lists", []) or settings.choose_by == "dev":
            continue
        dev = settings.train_on_dev and subset == "full"
        for row in _find_undivided(splits, drawn[subset], dev).head(1).iter_rows(named=True):
            unknown = row["len"] - row["known"]
            found = f"{name_count(unknown, 'clip')} without a speaker" if unknown else "one speaker"
            said = (
                f"task {task}: finetunings.{name} chooses {' and '.join(settings.lists)} by inner folds over speakers, and the "
                f"{row['len']} training clips of partition {row['partition']}, fold {row['fold']} ({subset}) have {found}; set "
                "choose_by: dev, use more clips, or name one value for each key"
            )
            problems.append(Problem("", said, Change(f"finetunings.{name}.choose_by", "dev")))
    return list(dict.fromkeys(problems))


def _find_undivided(splits: pl.DataFrame, drawn: pl.DataFrame, dev: bool) -> pl.DataFrame:
    """Draws whose clips cannot be divided by speaker: `partition`, `fold`, `resampling`, `len`, `known`, `speakers`; sorted.

    Args:
        splits: SPLITS rows.
        drawn: rows of `draw_subsets`.
        dev: the dev part is divided too.
    """
    place = ["partition", "fold", "resampling"]
    rows = drawn.select(*place, "utterance_id").join(splits, on=["partition", "fold", "utterance_id"])
    if dev:
        joined = splits.filter(split="dev").join(drawn.select(place).unique(), on=["partition", "fold"])
        rows = pl.concat([rows.select(joined.columns), joined])
    counted = rows.group_by(place).agg(
        pl.len(), known=pl.col("speaker").count(), speakers=pl.struct("corpus", "speaker").n_unique()
    )
    return counted.filter((pl.col("known") < pl.col("len")) | (pl.col("speakers") < 2)).sort(place)
