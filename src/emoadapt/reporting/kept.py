"""Classifiers that a study kept, and the best one of each task."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median_low

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.errors import EmoadaptError, name_count
from emoadapt.machine.programs import name_program
from emoadapt.reporting.choices import name_chooser
from emoadapt.reporting.inputs import find_splits
from emoadapt.reporting.measures import is_lower_better, label_metric, list_main_metrics
from emoadapt.reporting.runs import count_folds, list_batches
from emoadapt.reporting.style import name_model, number, subset_key
from emoadapt.storage.frames import read_frame
from emoadapt.study.layout import WHOLE, name_refit
from emoadapt.study.nodes import Run, Setting
from emoadapt.training.curve import read_scores

CLASSIFIERS = "classifiers"
"""Folder of the results that has a link for each task, to its best classifier."""
NAMED = 3
"""Models that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Kept:
    """A classifier on disk.

    Args:
        folder: of the model.
        setting: task, model and training clips.
        run: run that trained it; None: it was fitted to all labelled clips, and never tested.
    """

    folder: Path
    setting: Setting
    run: Run | None


@dataclass(frozen=True)
class Scored:
    """A training by which a classifier could be kept.

    Args:
        setting: task, model and training clips.
        scores: run -> score on its development part, or by which its settings were chosen; empty without either.
        tested: mean over runs of the score on the test set of the task's own corpus; None without one.
        runs: that were tested.
        folds: of each run, which are scored together.
        by: clips that `scores` are of, as the end of a sentence.
        chooser: for scores by which settings were chosen, how the clips were held out, a sentence; else empty.
    """

    setting: Setting
    scores: Mapping[str, float]
    tested: float | None
    runs: int
    folds: int
    by: str
    chooser: str

    @property
    def of(self) -> str:
        """Runs that `tested` is of."""
        if self.runs == 1:
            return f"the score of the only run{f', its {self.folds} folds together' if self.folds > 1 else ''}"
        return f"the mean over {self.runs} runs{f' of {self.folds} folds each' if self.folds > 1 else ''}"

    @property
    def mean(self) -> float | None:
        """Mean of the scores; None without any."""
        return fmean(self.scores.values()) if self.scores else None


@dataclass(frozen=True)
class Best:
    """The classifier of a task to predict with.

    Args:
        kept: the classifier.
        expected: the score to expect of it, and what that is of, two or three short sentences.
        why: how its model was chosen, a sentence.
        compared: the scores of the other models, and what they are of; sentences, or empty.
        highest: a sentence, if another model has the highest test score; else empty.
        itself: what it was fitted to, and its own score, sentences.
        short: the score to expect and what it is of, for a line.
    """

    kept: Kept
    expected: str
    why: str
    compared: str
    highest: str
    itself: str
    short: str


def list_kept(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> list[Kept]:
    """List the classifiers of a setting that are on disk; one that was fitted once more is the only one.

    Args:
        study: the configuration.
        setting: one of `study.list_settings()`.
        splits: SPLITS tables of its task.
        results: folder of results, laid out as by the rules.
    """
    if setting in study.list_refits(setting.task):
        place = Path(name_refit(setting, results))
        return [Kept(folder, setting, _find_run(folder)) for folder in sorted(place.glob("[!.]*/"))]
    places = {
        run: folder / "models" / setting.name(run)
        for folder, runs in list_batches(study, setting, splits, results)
        for run in runs
    }
    return [Kept(folder, setting, run) for run, folder in places.items() if folder.is_dir()]


def _find_run(folder: Path) -> Run | None:
    """The run that a folder is named by; None: it is of all labelled clips."""
    name = folder.name.rpartition(".")[2]
    return None if name == WHOLE else Run.parse(name)


@dataclass(frozen=True)
class Models:
    """Models that a study left on disk.

    Args:
        best: task -> its best classifier; None where none was kept.
        adapted: folders of the speech models that Stage 1 adapted.
    """

    best: Mapping[str, Best | None]
    adapted: Sequence[Path]


def list_models(study: Study, splits: Mapping[str, Sequence[Path]], results: Path) -> Models:
    """List the models that a study left on disk; arguments as those of `find_best`."""
    adapted = [
        results / "models" / f"{backbone}.{start}"
        for backbone in study.backbones
        for start in study.starts(backbone)[1:]
    ]
    return Models(find_best(study, splits, results), [folder for folder in adapted if folder.is_dir()])


def find_best(study: Study, splits: Mapping[str, Sequence[Path]], results: Path) -> dict[str, Best | None]:
    """Find the classifier of each task to predict with, at its largest training set for which any was kept.

    The model whose runs have the highest mean score on development parts is taken. A run that was trained on its development part, too,
    counts with the score by which its settings were chosen. Where no kept model has either, the test decides, and the reason says so. The
    kept run is taken whose score is nearest to the median of all runs: the highest score is that of the easiest clips.

    Args:
        study: the configuration.
        splits: task -> its SPLITS tables.
        results: folder of results.

    Returns:
        Task -> its classifier; None where none was kept.
    """
    return {task: _find_task(study, task, splits[task], results) for task in study.tasks}


def _find_task(study: Study, task: str, splits: Sequence[Path], results: Path) -> Best | None:
    found = {setting: list_kept(study, setting, splits, results) for setting in study.list_settings(task)}
    found = {setting: kept for setting, kept in found.items() if kept}
    if not found:
        return None
    largest = max((setting.subset for setting in found), key=subset_key)
    scored = [_score(study, setting, splits, results) for setting in found if setting.subset == largest]
    ranked = [one for one in scored if one.mean is not None]
    best = max(ranked or scored, key=lambda one: _rank(one.mean if ranked else one.tested))
    kept = _take_typical(found[best.setting], best.scores)
    return Best(
        kept,
        expected=_describe_expected(study, best, kept),
        why=_explain_choice(study, best, scored),
        compared=_compare_others(study, best, scored),
        highest=_explain_highest(study, best, splits, results),
        itself=_describe_itself(study, kept, best, splits, results),
        short=_shorten(study, best, kept),
    )


def _rank(score: float | None) -> float:
    return float("-inf") if score is None else score


def _take_typical(kept: Sequence[Kept], scores: Mapping[str, float]) -> Kept:
    """The kept classifier whose score is nearest to the median of all runs, the lower one of two; without scores the first."""
    known = [one for one in kept if one.run is not None and one.setting.name(one.run) in scores]
    if not known:
        return kept[0]
    middle = median_low(scores.values())
    of = {one: scores[one.setting.name(one.run)] for one in known if one.run is not None}
    return min(known, key=lambda one: (abs(of[one] - middle), of[one]))


def _score(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> Scored:
    """Scores of all runs of a setting, kept or not."""
    paths = [folder / "curves.parquet" for folder, _ in list_batches(study, setting, splits, results)]
    rows = read_frame(paths, schema.CURVES).filter("best").to_dicts()
    by, chooser, settings = "development parts", "", study.finetunings[setting.model.finetuning]
    if not any(row["part"] == "dev" for row in rows):
        chose = hasattr(settings, "choose_by")
        by = "clips held out from training" if chose else ""
        chooser = (
            f"The clips held out from training chose its settings, too: {name_chooser(settings)}." if chose else ""
        )
    tested, scores = _read_tested(study, setting, results), read_scores(rows)
    mean = fmean(tested) if tested else None
    return Scored(setting, scores, mean, len(tested), count_folds(splits), by, chooser)


def _read_tested(study: Study, setting: Setting, results: Path, **run: int) -> list[float]:
    """Score of each run of a setting, or of one, on the test set of the task's own corpus."""
    rows = read_frame([results / "metrics" / f"{setting.task}.parquet"], schema.METRICS)
    keys = {"test_corpus": study.tasks[setting.task].corpus, "metric": _main_metric(study, setting.task), **run}
    return rows.filter(subset=setting.subset, **setting.model._asdict(), **keys)["value"].to_list()


def _name_score(study: Study, task: str) -> str:
    return label_metric(_main_metric(study, task))


def _main_metric(study: Study, task: str) -> str:
    """The main metric of a task; larger values are better."""
    metrics = list_main_metrics()
    chosen = metrics[0] if study.tasks[task].classes else metrics[1]
    assert not is_lower_better(chosen)
    return chosen


# --- sentences ------------------------------------------------------------------------------------------


def _explain_choice(study: Study, best: Scored, scored: Sequence[Scored]) -> str:
    """How the model was chosen."""
    score = _name_score(study, best.setting.task)
    if len(scored) == 1:
        return "No other model was kept with so many training clips."
    if best.mean is None:
        return (
            f"Of all kept models it has the highest {score} on the test set, {number(best.tested)}. No kept model has a development part that it "
            "was not trained on. So the test chose, and this score is too good."
        )
    over = f", the mean over {name_count(len(best.scores), 'training')}" if len(best.scores) > 1 else ""
    return f"Of all kept models it has the highest {score} on {best.by}: {number(best.mean)}{over}."


def _compare_others(study: Study, best: Scored, scored: Sequence[Scored]) -> str:
    """The other models with their scores on clips that were not tested; empty without any."""
    if best.mean is None:
        return ""
    others = [one for one in scored if one is not best]
    ranked = sorted((one for one in others if one.mean is not None), key=lambda one: -_rank(one.mean))
    said = [best.chooser] if best.chooser else []
    if ranked:
        named = [f"{name_model(study, one.setting.model)} {number(one.mean)}" for one in ranked[:NAMED]]
        more = f" and {len(ranked) - NAMED} more" if len(ranked) > NAMED else ""
        said.append(f"Behind it: {', '.join(named)}{more}.")
    if kinds := sorted({one.by for one in ranked} - {best.by}):
        said.append(f"Some of these scores are on {' or '.join(kinds)}.")
    if unranked := len(others) - len(ranked):
        said.append(
            f"{name_count(unranked, 'kept model')} without such a score {'is' if unranked == 1 else 'are'} not compared."
        )
    return " ".join(said)


def _describe_itself(study: Study, kept: Kept, best: Scored, splits: Sequence[Path], results: Path) -> str:
    """What the classifier was fitted to, and its own score."""
    if kept.run is None:
        return "The classifier was fitted once more, to all labelled clips, and was never tested itself. Its model card names the clips and the settings."
    name, tested = kept.setting.name(kept.run), _describe_test(study, kept, splits, results)
    if name not in best.scores:
        return f"The classifier is that of run {kept.run}, the first: no development score ranks the runs.{tested}"
    if len(best.scores) == 1:
        return f"The classifier is that of the only run, {kept.run}.{tested}"
    return (
        f"The classifier is that of run {kept.run}: its score on {best.by}, {number(best.scores[name])}, is the nearest to the median of the "
        f"{len(best.scores)} trainings among those that were kept.{tested}"
    )


def _describe_test(study: Study, kept: Kept, splits: Sequence[Path], results: Path) -> str:
    """Score of a kept run on its own test clips; empty without any."""
    assert kept.run is not None
    run = kept.run
    own = _read_tested(study, kept.setting, results, partition=run.partition, resampling=run.resampling, seed=run.seed)
    if not own:
        return ""
    if count_folds(splits) > 1:
        return f" It was tested on fold {run.fold} alone: its model card has that score."
    return f" Its own {_name_score(study, kept.setting.task)} on its test set: {number(own[0])}."


def _describe_expected(study: Study, best: Scored, kept: Kept) -> str:
    """The score to expect."""
    task = study.tasks[best.setting.task]
    if best.tested is None:
        return f"No clip of {task.corpus} was tested: what to expect on it is not known."
    said = (
        f"Expected {_name_score(study, best.setting.task)} on other clips of {task.corpus}: {number(best.tested)}. "
        f"That is {best.of}, on the test set."
    )
    if kept.run is None:
        return f"{said} These trainings had fewer clips than this classifier."
    return said if best.runs * best.folds == 1 else f"{said} It is not the score of this classifier alone."


def _shorten(study: Study, best: Scored, kept: Kept) -> str:
    itself = (
        "fitted to all labelled clips, never tested itself" if kept.run is None else f"run {kept.run}, a typical one"
    )
    if best.tested is None:
        return itself
    return f"expected {_name_score(study, best.setting.task)} {number(best.tested)}, {best.of}; {itself}"


def _explain_highest(study: Study, best: Scored, splits: Sequence[Path], results: Path) -> str:
    """Why it is not the model with the highest test score, which the summary names."""
    settings = [one for one in study.list_settings(best.setting.task) if one.subset == best.setting.subset]
    tested = {setting: _read_tested(study, setting, results) for setting in settings}
    means = {setting: fmean(values) for setting, values in tested.items() if values}
    if not means or best.tested is None:
        return ""
    first = max(means, key=lambda setting: means[setting])
    if means[first] <= best.tested:
        return ""
    kept = list_kept(study, first, splits, results)
    reason = (
        "a choice by test scores would make them too good, so they choose nothing"
        if kept
        else "no classifier of it was kept"
    )
    return (
        f"{name_model(study, first.model)} has the highest {_name_score(study, best.setting.task)} on the test set, "
        f"{number(means[first])}: {reason}."
    )


# --- for people -----------------------------------------------------------------------------------------


def name_place(task: str, results: Path) -> Path:
    """The link to a task's best classifier."""
    return results / CLASSIFIERS / task


def write_command(task: str, results: Path = Path("results"), program: str = "emoadapt") -> str:
    """The command that predicts with a task's best classifier; `program` as from `name_program` for this machine's shell."""
    return f"{program} predict {shlex.quote(name_place(task, results).as_posix())} recording.wav"


def link_best(best: Mapping[str, Best | None], results: Path) -> None:
    """Point `results/classifiers/<task>` to the best classifier of each task, and remove links of others.

    Args:
        best: as from `find_best`.
        results: folder of results.
    """
    wanted = {name_place(task, results): found.kept.folder for task, found in best.items() if found}
    folder = results / CLASSIFIERS
    for link in folder.iterdir() if folder.is_dir() else ():
        if link.is_symlink() and link not in wanted:
            link.unlink()
    for link, target in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(Path("..") / target.relative_to(results), target_is_directory=True)


def announce_best(study: Study, results: Path) -> Iterator[str]:
    """Link the best classifiers, and yield the last lines of a run: for each task the command that predicts with the best one.

    Args:
        study: the configuration.
        results: folder of results; nothing is yielded if it lacks a part of the study.
    """
    try:
        best = find_best(study, find_splits(study, results), results)
    except EmoadaptError:
        # Only a part of the study was asked for.
        return
    link_best(best, results)
    if without := [task for task, found in best.items() if found is None]:
        yield explain_none(study, without)
    for task, found in best.items():
        if found:
            yield f"Predict with the best classifier of {task} ({found.kept.setting.model}; {found.short}):"
            yield f"  {write_command(task, results, name_program('emoadapt'))}"


def explain_none(study: Study, tasks: Sequence[str]) -> str:
    """Why tasks have no classifier to predict with."""
    named = ", ".join(tasks)
    models = [model for task in tasks for model in study.list_models(task)]
    if study.keep_models == "adapted" and any(study.explain_unkept(model) is None for model in models):
        repeated = any(study.explain_unkept(model) is None and study.keeps_embeddings(model) for model in models)
        return (
            f"No classifier of {named} was kept. To predict with one, add the line keep_models: best to the study and run again; "
            f"{'fine-tuned models are trained again' if repeated else 'no training is repeated'}."
        )
    return f"No classifier of {named} is kept. {' '.join(study.list_unkept(models))}".strip()
