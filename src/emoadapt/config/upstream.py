"""Checks of fine-tunings that need other models of the same task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emoadapt.errors import Change, Problem, name_known
from emoadapt.fixes import rename
from emoadapt.study.grid import list_trials
from emoadapt.study.nodes import Model, Setting

if TYPE_CHECKING:
    from emoadapt.config.study import Study


def find_upstream_problems(study: Study) -> list[Problem]:
    """Say which models a fine-tuning needs and the study does not train, one sentence each."""
    unknown = list(_find_unknown(study))
    return unknown or list(_find_circles(study)) or list(dict.fromkeys(_find_gaps(study)))


def _find_unknown(study: Study) -> Iterator[Problem]:
    models = list(map(str, study.list_models()))
    for name, finetuning in study.finetunings.items():
        for model, key in finetuning.upstream.items():
            if model not in models:
                yield Problem(
                    f"finetunings.{name}.{key}",
                    f"{model} is not trained; {name_known(model, models)}",
                    rename(f"finetunings.{name}.{key}", getattr(finetuning, key), model, models),
                )


def _find_circles(study: Study) -> Iterator[Problem]:
    """Fine-tunings whose models need themselves, by however many others."""
    for name in study.finetunings:
        way = _find_way(study, name, [name])
        if way:
            yield Problem(f"finetunings.{name}", f"it needs its own outcome ({' -> '.join(way)}); name another model")


def _find_way(study: Study, goal: str, way: list[str]) -> list[str]:
    for model in study.finetunings[way[-1]].upstream:
        following = Model.parse(model).finetuning
        if following == goal:
            return [*way, goal]
        if following not in way and (found := _find_way(study, goal, [*way, following])):
            return found
    return []


def _find_gaps(study: Study) -> Iterator[Problem]:
    """Tasks, numbers of clips, runs and tables that an upstream model lacks."""
    settings = study.list_settings()
    for setting in settings:
        finetuning = study.finetunings[setting.model.finetuning]
        for name, key in finetuning.upstream.items():
            path = f"finetunings.{setting.model.finetuning}"
            needed = Setting(setting.task, Model.parse(name), setting.subset)
            size = "all clips" if setting.subset == "full" else f"{setting.subset} clips"
            if needed not in settings:
                yield (
                    Problem(
                        f"{path}.{key}",
                        f"{name} is not trained on {size} of task {setting.task}, as {setting.model} is; train it there, or name "
                        f"other tasks and subsets in {path}",
                        Change(f"{path}.tasks", ["NAME"]),
                    )
                )
            elif lacking := set(list_trials(study, setting)) - set(list_trials(study, needed)):
                yield (
                    Problem(
                        f"{path}.{key}",
                        f"{name} lacks {len(lacking)} of the runs of {setting.model} on {size} of task {setting.task}, such as "
                        f"{min(lacking)}; give both fine-tunings the same seeds",
                        Change(f"finetunings.{needed.model.finetuning}.seeds", _join_seeds(study, setting, needed)),
                    )
                )
            upstream = needed.model.finetuning
            if finetuning.upstream_table == "training_clips" and not getattr(study.finetunings[upstream], "keep", None):
                yield Problem(
                    f"{path}.{key}",
                    f"{name} keeps nothing of its training clips; set finetunings.{upstream}.keep: embeddings",
                    Change(f"finetunings.{upstream}.keep", "embeddings"),
                )


def _join_seeds(study: Study, *settings: Setting) -> list[int]:
    """Seeds of several fine-tunings together, so that none loses a run."""
    return sorted({seed for one in settings for seed in study.finetunings[one.model.finetuning].seeds})
