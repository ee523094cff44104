"""Classifiers that a study kept, and the best one of each task."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.errors import EmoadaptError
from emoadapt.reporting.choices import name_chooser
from emoadapt.reporting.inputs import find_splits
from emoadapt.reporting.measures import is_lower_better, label_metric, list_main_metrics
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import number, subset_key
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Run, Setting

CLASSIFIERS = "classifiers"
"""Folder of the results that has a link for each task, to its best classifier."""


@dataclass(frozen=True)
class Kept:
    """A classifier on disk.

    Args:
        folder: of the model.
        setting: task, model and training clips.
        run: run that trained it.
        dev: score on its development part, or the one by which its settings were chosen; None without either.
    """

    folder: Path
    setting: Setting
    run: Run
    dev: float | None


@dataclass(frozen=True)
class Best:
    """The best classifier of a task.

    Args:
        kept: the model.
        why: how it was chosen, as the end of a sentence.
    """

    kept: Kept
    why: str


def list_kept(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> list[Kept]:
    """List the fine-tuned models of a setting that are on disk.

    Args:
        study: the configuration.
        setting: one of `study.list_settings()`.
        splits: SPLITS tables of its task.
        results: folder of results, laid out as by the rules.
    """
    kept = []
    for folder, runs in list_batches(study, setting, splits, results):
        found = {run: folder / "models" / setting.name(run) for run in runs}
        found = {run: place for run, place in found.items() if place.is_dir()}
        scores = _read_dev(folder / "curves.parquet") if found else {}
        kept += [Kept(place, setting, run, scores.get(setting.name(run))) for run, place in found.items()]
    return kept


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
    """Find the best kept classifier of each task, at its largest training set for which any was kept.

    The model with the highest mean score on development parts is taken, and of its kept runs the one with the highest. A model that was trained
    on its development part, too, counts with the score by which its settings were chosen. Where no kept model has either, the test
    decides, and the reason says so.

    Args:
        study: the configuration.
        splits: task -> its SPLITS tables.
        results: folder of results.

    Returns:
        Task -> its best classifier; None where none was kept.
    """
    return {task: _find_task(study, task, splits[task], results) for task in study.tasks}


def _find_task(study: Study, task: str, splits: Sequence[Path], results: Path) -> Best | None:
    found = {setting: list_kept(study, setting, splits, results) for setting in study.list_settings(task)}
    found = {setting: kept for setting, kept in found.items() if kept}
    if not found:
        return None
    largest = max((setting.subset for setting in found), key=subset_key)
    chosen = {setting: kept for setting, kept in found.items() if setting.subset == largest}
    means = {setting: _mean_dev(study, setting, splits, results) for setting in chosen}
    if ranked := {setting: mean for setting, mean in means.items() if mean is not None}:
        setting = max(ranked, key=lambda setting: ranked[setting])
        best = max(chosen[setting], key=lambda kept: -1.0 if kept.dev is None else kept.dev)
        others = len(chosen) - len(ranked)
        unranked = (
            f"; {others} kept model{'s' * (others != 1)} without one {'are' if others != 1 else 'is'} not compared"
            if others
            else ""
        )
        where = _name_clips(study, setting, splits, results)
        # A mean over trainings on other clips is not the score of the one that is kept.
        own = (
            ""
            if best.dev is None or best.dev == ranked[setting]
            else f" over its trainings ({number(best.dev)} of this one)"
        )
        return Best(
            best,
            f"of the kept models it has the highest mean {_name_score(study, task)} on {where}, {number(ranked[setting])}{own}{unranked}",
        )
    tested = {setting: _mean_test(study, setting, results) for setting in chosen}
    setting = max(tested, key=lambda setting: tested[setting])
    why = f"no run of a kept model has a development part, so that its mean {_name_score(study, task)} on the test set, {number(tested[setting])}, chose it: that score is too good for it"
    return Best(chosen[setting][0], why)


def _name_score(study: Study, task: str) -> str:
    return label_metric(_main_metric(study, task))


def _main_metric(study: Study, task: str) -> str:
    """The main metric of a task; larger values are better."""
    metrics = list_main_metrics()
    chosen = metrics[0] if study.tasks[task].classes else metrics[1]
    assert not is_lower_better(chosen)
    return chosen


def _read_dev(path: Path) -> dict[str, float]:
    """Run -> score on its development part at the kept epoch; of a run without one the score by which its settings were chosen."""
    kept = read_frame([path], schema.CURVES).filter("best", stage="stage2")
    dev = kept.filter(pl.col("metric").is_in(list_main_metrics()), part="dev")
    return {
        run: value
        for part in (kept.filter(part="choice"), dev)
        for run, value in part.select("run", "value").iter_rows()
    }


def _name_clips(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> str:
    """Clips that the scores of a setting's kept runs are of."""
    settings = study.finetunings[setting.model.finetuning]
    paths = [folder / "curves.parquet" for folder, _ in list_batches(study, setting, splits, results)]
    if not read_frame(paths, schema.CURVES).filter("best", part="dev").is_empty():
        return "development parts"
    return f"clips that were held out to choose its settings ({name_chooser(settings)})"


def _mean_dev(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> float | None:
    batches = list_batches(study, setting, splits, results)
    scores = [value for folder, _ in batches for value in _read_dev(folder / "curves.parquet").values()]
    return sum(scores) / len(scores) if scores else None


def _mean_test(study: Study, setting: Setting, results: Path) -> float:
    rows = read_frame([results / "metrics" / f"{setting.task}.parquet"], schema.METRICS)
    keys = {"test_corpus": study.tasks[setting.task].corpus, "metric": _main_metric(study, setting.task)}
    own = rows.filter(subset=setting.subset, **setting.model._asdict(), **keys)
    return float(own["value"].mean() or 0.0)  # type: ignore[arg-type]


# --- for people -----------------------------------------------------------------------------------------


def name_place(task: str, results: Path) -> Path:
    """The link to a task's best classifier."""
    return results / CLASSIFIERS / task


def write_command(task: str, results: Path = Path("results")) -> str:
    """The command that predicts with a task's best classifier."""
    return f"emoadapt predict {shlex.quote(name_place(task, results).as_posix())} recording.wav"


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
            yield f"Predict with the best classifier of {task} ({found.kept.setting.model}):  {write_command(task, results)}"


def explain_none(study: Study, tasks: Sequence[str]) -> str:
    """Why tasks have no classifier to predict with."""
    named = ", ".join(tasks)
    models = [model for task in tasks for model in study.list_models(task)]
    if study.keep_models == "adapted" and any(study.explain_unkept(model) is None for model in models):
        return (
            f"No classifier of {named} was kept. To predict with one, add the line keep_models: best to the study and run again; "
            "the trainings are repeated."
        )
    return f"No classifier of {named} is kept. {' '.join(study.list_unkept(models))}".strip()
