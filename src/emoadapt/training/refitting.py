"""Classifiers on frozen layers, or on descriptors, that are fitted once more to be kept.

Where runs have several divisions into train, dev and test, each run has seen a part of the labelled clips, and its score says how easy
its test part was. The classifier to predict with is then fitted to all of them, with the settings that most runs chose. Where there is
one division, it is that of the run with the median score, which was tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import polars as pl
import torch

from emoadapt import schema
from emoadapt.errors import name_count
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.frames import read_frame
from emoadapt.study.layout import WHOLE
from emoadapt.study.nodes import Run
from emoadapt.tasks.divisions import PARTS
from emoadapt.training.choices import ALL, Division
from emoadapt.training.curve import CHOICE, find_typical, read_scores
from emoadapt.training.keeping import FrozenKeeper
from emoadapt.training.machines import Chosen
from emoadapt.training.probing import Probing

if TYPE_CHECKING:
    from emoadapt.training.choices import Candidate
    from emoadapt.training.jobs import TaskJob


@dataclass(frozen=True)
class Precedent:
    """What the runs of a setting say about the classifier to keep.

    Args:
        run: with the median score.
        place: of the combination that most runs chose, among all; 0 without a choice.
        times: how many runs chose it.
        scores: run -> score of its choice; empty without a choice.
    """

    run: Run
    place: int
    times: int
    scores: Mapping[str, float]


def refit_classifier(job: TaskJob, tables: Sequence[Path]) -> None:
    """Fit a classifier once more and write its folder below the job's `models`.

    Args:
        job: all runs of a setting of `methods.svm` or `methods.probe`.
        tables: their CURVES and PREDICTIONS, `<table>.parquet`.

    Raises:
        DataError: a table cannot be read.
        TrainingError: a class has no clip, or the loss is not finite.
    """
    torch.set_num_threads(job.threads)
    several = len({(run.partition, run.fold) for run in job.runs}) > 1
    found = find_precedent(job, read_frame([path for path in tables if path.stem == "curves"], schema.CURVES), several)
    training = Probing(job, [several, found.run, found.place], [__name__])
    training.keeper = keeper = FrozenKeeper(job, training.clips)
    with training.unfinished.notice.listening():
        if several:
            predictions = [path for path in tables if path.stem == "predictions"]
            _fit_whole(training, keeper, found, list(score_trials(job, training, predictions)))
        else:
            _repeat_run(training, keeper, found)
    job.models.mkdir(parents=True, exist_ok=True)
    keeper.finish(job.models)
    seal_folder(job.models)
    training.unfinished.remove()


def find_precedent(job: TaskJob, curves: pl.DataFrame, several: bool) -> Precedent:
    """Find the run with the median score, and the combination of settings to fit with.

    Args:
        job: all runs of a setting.
        curves: CURVES rows of these runs.
        several: whether the combination is that of most runs, the first of several; else it is that of the run.
    """
    rows = curves.to_dicts()
    name = find_typical([job.setting.name(run) for run in job.runs], read_scores(rows))
    chosen = {row["run"]: row for row in rows if row["part"] == CHOICE and row["best"]}
    counts = Counter(row["epoch"] for row in chosen.values())
    place = min(counts, key=lambda place: (-counts[place], place)) if counts else 0
    if counts and not several:
        place = chosen[name]["epoch"]
    scores = {run: row["value"] for run, row in chosen.items()}
    return Precedent(Run.parse(name.rpartition(".")[2]), place, counts[place], scores)


def _repeat_run(training: Probing, keeper: FrozenKeeper, found: Precedent) -> None:
    """Fit the classifier of a run again."""
    part, candidate = training.clips.select(found.run), training.candidates[found.place]
    division = training.divide_run(part)
    (fitted,) = training.fit(found.run, [candidate], division)
    reading = training.describe_reading(found.run, candidate, division.train)
    score = found.scores.get(training.job.setting.name(found.run))
    keeper.keep_run(found.run, part, fitted, reading, Chosen(candidate, score), training.score_dev(fitted, division))


def _fit_whole(training: Probing, keeper: FrozenKeeper, found: Precedent, scores: Sequence[float]) -> None:
    """Fit a classifier to all labelled clips of the task's corpus."""
    job, candidate = training.job, training.candidates[found.place]
    division = divide_whole(training, found.run, candidate.settings.by_epochs)
    (fitted,) = training.fit(found.run, [candidate], division)
    reading = training.describe_reading(found.run, candidate, division.train)
    facts = _describe_whole(training, found, candidate, division, scores)
    keeper.keep(
        f"{job.setting.task}.{job.setting.model}.{job.setting.subset}.{WHOLE}", candidate, fitted, reading, facts
    )


def divide_whole(training: Probing, run: Run, by_epochs: Sequence[str]) -> Division:
    """Divide the labelled clips of the task's corpus: all train; where an epoch is chosen, the dev part of a run chooses it.

    Args:
        training: of the job.
        run: whose division the clips are of.
        by_epochs: classifiers that need a dev part.
    """
    of_run = list_labelled(training, partition=run.partition, fold=run.fold)
    known = [name for name in of_run if name in training.clips.usable]
    dev = training.clips.select(run).dev if by_epochs else []
    held = set(dev)
    train = [name for name in known if name not in held]
    # Nothing is tested; a clip is asked about since a training ends with a test.
    return Division(ALL, train, dev, train[:1])


def list_labelled(training: Probing, **run: int) -> list[str]:
    """Labelled clips of the task's corpus, sorted: those of all divisions, or of one."""
    labelled = pl.col("split").is_in(PARTS)
    return (
        training.clips.splits.filter(labelled, corpus=training.job.task.corpus, **run)["utterance_id"]
        .unique()
        .sort()
        .to_list()
    )


def _describe_whole(
    training: Probing, found: Precedent, candidate: Candidate, division: Division, scores: Sequence[float]
) -> dict[str, str]:
    """Rows of the card."""
    job, metric = training.job, training.clips.metric
    facts = {"fine-tuned on": _describe_clips(training, found.run, division)}
    if found.scores:
        facts["settings"] = f"{candidate.name}, chosen by {found.times} of {name_count(len(found.scores), 'training')}"
    facts[f"test {metric}"] = "none: it was fitted to clips of every test part, and was never tested itself"
    if scores:
        drawn = "parts" if job.setting.subset == "full" else job.setting.subset
        runs = "the score of the only run" if len(scores) == 1 else f"the mean over {len(scores)} runs"
        facts[f"expected {metric}"] = (
            f"{fmean(scores):.3f}, {runs}: trainings on {drawn} of these clips, tested on others clip by clip"
        )
    return facts


def _describe_clips(training: Probing, run: Run, division: Division) -> str:
    """Clips that a classifier was fitted to, and why the others were not."""
    whole, used = list_labelled(training), {*division.train, *division.dev}
    rest = [name for name in whole if name not in used]
    failed = sum(name not in training.clips.usable for name in rest)
    parts = {
        f"of the dev part of run {run}, which chose the epoch": len(division.dev),
        "without usable input (see `emoadapt quarantine`)": failed,
        f"in no part of partition {run.partition}, fold {run.fold}": len(rest) - failed,
    }
    left = " and ".join(f"{number:,} {said}" for said, number in parts.items() if number)
    share = f"{len(division.train):,} of the {len(whole):,}" if left else f"all {len(whole):,}"
    return f"{training.job.task.corpus}: {share} labelled clips{f'; left out: {left}' if left else ''}"


def score_trials(job: TaskJob, training: Probing, predictions: Sequence[Path]) -> Iterator[float]:
    """Score of each run on test clips of the task's own corpus, its folds pooled.

    Args:
        job: of the runs.
        training: of the job.
        predictions: tables of the runs.
    """
    rows = read_frame(predictions, training.clips.table).filter(test_corpus=job.task.corpus)
    for trial in rows.partition_by("partition", "resampling", "seed", maintain_order=True):
        score = training.clips.score(*training.clips.gather(trial))
        if score is not None:
            yield score
