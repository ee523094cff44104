"""Jobs of a study, finished jobs, and their hours."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emoadapt.errors import name_count
from emoadapt.flow.code import digest
from emoadapt.methods.finetune import Config
from emoadapt.schema import KEPT
from emoadapt.storage.caches import read_cache
from emoadapt.study.graph import Graph
from emoadapt.study.grid import batches
from emoadapt.study.nodes import Setting
from emoadapt.study.plan.sizes import CorpusSize

if TYPE_CHECKING:
    from emoadapt.config import Adaptation, Finetuning, Optimisation, Study

logger = logging.getLogger(__name__)

CALIBRATION = Path("results/.cache/calibration.json")
"""Speeds that `emoadapt plan --calibrate` measured."""
UNKNOWN_SHARES = (0.70, 0.15, 0.15)
"""Train, dev and test where only the corpus could tell: a guess, said as such."""


@dataclass(frozen=True)
class Row:
    """A line of the plan. Hours are None where a size or a speed is not known.

    Args:
        stage: `feature`, `stage1` or `stage2`.
        name: feature, adaptation or task.
        corpus: of a feature, else the corpora that are trained on.
        backbone: None for a feature.
        start: starting point of Stage 2.
        finetuning: fine-tuning of Stage 2.
        subset: training clips of Stage 2.
        jobs: jobs; None = not known.
        jobs_done: jobs whose files are there.
        runs: trainings; None = not known.
        runs_done: trainings whose files are there.
        media_hours: hours of audio (of video for features of the face) that the work goes through, all epochs counted.
        hours: estimated hours of device of all jobs.
        hours_left: of the jobs that are not done.
        needs: what lacks, as `needs corpus X, Y`.
    """

    stage: str
    name: str
    corpus: str
    backbone: str | None = None
    start: str | None = None
    finetuning: str | None = None
    subset: str | None = None
    jobs: int | None = None
    jobs_done: int = 0
    runs: int | None = None
    runs_done: int = 0
    media_hours: float | None = None
    hours: float | None = None
    hours_left: float | None = None
    needs: str = ""


def plan_study(study: Study, sizes: Mapping[str, CorpusSize], speeds: Mapping[str, Any] | None = None) -> list[Row]:
    """All jobs of a study: features, then Stage 1, then Stage 2.

    Args:
        study: from `read_plan_study`.
        sizes: of its corpora.
        speeds: what `calibrate` measured; None = no hours.
    """
    planner = _Planner(study, sizes, speeds or {})
    return [*planner.plan_features(), *planner.plan_stage1(), *planner.plan_stage2()]


def count_work(rows: Sequence[Row]) -> str:
    """Jobs and trainings of a plan, in words."""
    of = {stage: [row for row in rows if row.stage == stage] for stage in ("feature", "stage1", "stage2")}
    jobs = {stage: sum(row.jobs or 0 for row in found) for stage, found in of.items()}
    runs = sum(row.runs or 0 for row in of["stage2"])
    return (
        f"{name_count(jobs['feature'], 'extraction job')}, {name_count(jobs['stage1'], 'adaptation')}, "
        f"{name_count(runs, 'training')} in {name_count(jobs['stage2'], 'job')}"
    )


class _Planner:
    def __init__(self, study: Study, sizes: Mapping[str, CorpusSize], speeds: Mapping[str, Any]) -> None:
        self.study, self.sizes, self.speeds = study, sizes, speeds
        self.graph = Graph(study)

    def plan_features(self) -> list[Row]:
        groups: dict[tuple[str, str], list[str]] = {}
        for path in self.graph.all_features():
            _, _, feature, corpus, _ = Path(path).parts
            groups.setdefault((feature, corpus), []).append(path)
        rows = []
        for (feature, corpus), paths in groups.items():
            done = sum(Path(path).is_file() for path in paths)
            media = to_hours(self.sizes[corpus].seconds)
            hours = None
            if (kind := feature.split(".")[0]) in KEPT:
                speed = self._speed(feature.split(".")[1], kind)
                hours = None if media is None or speed is None else media / speed
            left = None if hours is None else hours * (1 - done / len(paths))
            needs = self._needs([corpus])
            rows.append(Row("feature", feature, corpus, jobs=len(paths), jobs_done=done, media_hours=media, hours=hours,
                            hours_left=left, needs=needs))  # fmt: skip
        return rows

    def plan_stage1(self) -> list[Row]:
        rows = []
        for model in self.graph.adapted_models():
            backbone, adaptation = model.split(".", 1)
            config = self.study.adaptations[adaptation]
            seconds = _total([self._seconds(corpus, config.max_seconds) for corpus in config.corpora])
            clips = _total([self.sizes[corpus].clips for corpus in config.corpora])
            work = None
            if seconds is not None and clips is not None:
                train = 1 - config.held_out
                epochs = count_epochs(config, clips * train, seconds * train)
                work = seconds * train * epochs, seconds * config.held_out * (count_evaluations(config, epochs) + 1)
            done = int(Path(f"results/models/{model}").is_dir() and Path(f"results/curves/{model}.parquet").is_file())
            hours = self._estimate(backbone, adaptation, "stage1", self.study.adaptations[adaptation], work, jobs=1)
            rows.append(
                Row(
                    "stage1",
                    adaptation,
                    "+".join(config.corpora),
                    backbone,
                    adaptation,
                    None,
                    None,
                    1,
                    done,
                    1,
                    done,
                    to_hours(None if work is None else sum(work)),
                    hours,
                    None if hours is None else hours * (1 - done),
                    self._needs(config.corpora),
                )
            )
        return rows

    def plan_stage2(self) -> list[Row]:
        folds = {task: self._count_folds(task) for task in self.study.tasks}
        return [self._plan_setting(setting, folds[setting.task]) for setting in self.study.list_settings()]

    def _plan_setting(self, setting: Setting, folds: int | None) -> Row:
        task = self.study.tasks[setting.task]
        behind = self.study.list_adaptations_behind(setting.model)
        stage1 = [corpus for adaptation in behind for corpus in self.study.adaptations[adaptation].corpora]
        needs = self._needs([*task.corpora, *stage1])
        row = Row("stage2", setting.task, task.corpus, *setting.model, setting.subset, needs=needs)
        if folds is None:
            return row
        jobs = batches(self.study, setting, folds)
        runs = sum(map(len, jobs.values()))
        folder = Path("results/runs", setting.task, str(setting.model), setting.subset)
        done = [batch for batch in jobs if all((folder / batch / f"{n}.parquet").is_file() for n in _RUN_FILES)]
        runs_done = sum(len(jobs[batch]) for batch in done)
        work = self._work_of_run(setting)
        media = None if work is None else to_hours(runs * sum(work))
        settings = self.study.finetunings[setting.model.finetuning]
        hours = self._estimate(setting.model.backbone, setting.model.start, "stage2", settings, work, runs, len(jobs))
        left = None if hours is None or not runs else hours * (1 - runs_done / runs)
        return replace(row, jobs=len(jobs), jobs_done=len(done), runs=runs, runs_done=runs_done, media_hours=media,
                       hours=hours, hours_left=left)  # fmt: skip

    def _work_of_run(self, setting: Setting) -> tuple[float, float] | None:
        """Audio seconds that a run trains on and evaluates, all epochs counted; None where sizes are not known."""
        if not self.study.keeps_embeddings(setting.model):
            return (0.0, 0.0)
        task, settings_ = self.study.tasks[setting.task], self.study.finetunings[setting.model.finetuning]
        seconds, clips = self._seconds(task.corpus, settings_.max_seconds), self.sizes[task.corpus].clips
        tested = [self._seconds_tested(setting.task, corpus, settings_.max_seconds) for corpus in task.others]
        others = _total(tested)
        if seconds is None or not clips or others is None:
            return None
        train, dev, test = self._shares(setting.task)
        if setting.subset != "full":
            train = min(train, int(setting.subset) / clips)
        heard = seconds * test + others
        # Before and after training the test clips are embedded: the starting point's once a fold, counted with each run.
        epochs = count_epochs(settings_, clips * train, seconds * train)
        kept = seconds * train if getattr(settings_, "keep", None) else 0.0
        # A method that reads views of clips has them all in an epoch, those of a target too.
        read = settings_.views * (seconds * train + self._seconds_read(setting, seconds * train))
        evaluations = count_evaluations(settings_, epochs) + 1
        return epochs * read, evaluations * seconds * dev + 2 * heard + kept

    def _seconds_tested(self, task: str, corpus: str, longest: float | None) -> float | None:
        """Seconds of another corpus that a run is tested on: all, or those of another task's test part."""
        seconds, other = self._seconds(corpus, longest), self.study.find_tested_tasks(task).get(corpus)
        target = self.study.tasks[task].target
        if target is not None and corpus == target.corpus and seconds is not None:
            return seconds * (1 - target.share)
        if other is None or seconds is None:
            return seconds
        return seconds if (self._count_folds(other) or 1) > 1 else seconds * self._shares(other)[2]

    def _seconds_read(self, setting: Setting, source: float) -> float:
        """Seconds of the target that a pass reads without labels, and those by which the smaller one is longer for being duplicated."""
        target = self.study.tasks[setting.task].target
        settings = self.study.finetunings[setting.model.finetuning]
        if target is None or not getattr(settings, "target", False):
            return 0.0
        seconds = (self._seconds(target.corpus, settings.max_seconds) or 0.0) * target.share
        return seconds + (settings.duplicate - 1) * min(seconds, source)

    def _shares(self, task: str) -> tuple[float, float, float]:
        """Shares of a task's corpus in train, dev and test of a fold."""
        split = self.study.tasks[task].split
        if split.by == "fractions":
            return split.train, split.dev, split.test
        if split.by == "all":
            return 1 - split.dev, split.dev, 0.0
        folds = self._count_folds(task)
        if folds and folds > 1:
            return (folds - 2) / folds, 1 / folds, 1 / folds
        return UNKNOWN_SHARES

    def _count_folds(self, task: str) -> int | None:
        config = self.study.tasks[task]
        if self.sizes[config.corpus].source in ("assumed", "missing"):
            if config.split.by == "leave_one_speaker_out":
                return self.sizes[config.corpus].speakers
            if config.split.by == "leave_one_part_out":
                return None
        return self.graph.folds(task)

    def _seconds(self, corpus: str, longest: float | None) -> float | None:
        """Seconds of a corpus, clips cropped (by their mean length) where the training crops them."""
        size = self.sizes[corpus]
        if size.seconds is None or longest is None or not size.clips:
            return size.seconds
        return min(size.seconds, size.clips * longest)

    def _estimate(
        self,
        backbone: str,
        start: str,
        stage: Literal["stage1", "stage2"],
        settings: Adaptation | Finetuning,
        work: tuple[float, float] | None,
        runs: int = 1,
        jobs: int = 1,
    ) -> float | None:
        """Hours of device."""
        if work is None or not self.speeds:
            return None
        startup = jobs * float(self.speeds["startup"]) / 3600
        if not any(work):
            return startup
        kept = self.graph.list_kept(stage, backbone, start, settings)
        if any(name.startswith("states.") for name in kept.values()):
            return None  # what follows the last layer alone is not measured
        speed = self._speed(backbone, "cached" if kept else "whole")
        return (
            None if speed is None else startup + runs * (work[0] / speed["train"] + work[1] / speed["evaluate"]) / 3600
        )

    def _speed(self, backbone: str, kind: str) -> Any:
        """Measured speed of a backbone with these settings; None without one."""
        found = self.speeds.get("backbones", {}).get(backbone)
        return found[kind] if found and found["settings"] == describe_calibrated(self.study, backbone) else None

    def _needs(self, corpora: Iterable[str]) -> str:
        lacking = [corpus for corpus in dict.fromkeys(corpora) if self.sizes[corpus].needs]
        return f"needs corpus {', '.join(lacking)}" if lacking else ""


_RUN_FILES = ("predictions", "embeddings", "curves", "training_clips")


def describe_calibrated(study: Study, backbone: str) -> str:
    """Digest of what the speed of a backbone depends on besides the machine."""
    keys = {"batch_size", "batch_seconds", "precision", "head", "head_hidden"}
    settings = choose_calibrated(study, backbone).model_dump_json(include=keys)
    return digest(study.backbones[backbone].describe(), settings, study.training_threads, study.device == "cpu")


def choose_calibrated(study: Study, backbone: str) -> Any:
    """Settings for measuring a backbone's speed: of its first fine-tuning, else the defaults."""
    models = [model for model in study.list_models() if model.backbone == backbone and study.keeps_embeddings(model)]
    found = [
        study.finetunings[model.finetuning]
        for model in models
        if study.finetunings[model.finetuning].method == "finetune"
    ]
    return found[0] if found else Config()


def count_epochs(settings: Optimisation, clips: float, seconds: float) -> float:
    """Passes of a training over its clips: its epochs, or as many as its steps take, of which the last may be a part.

    Args:
        settings: of the training.
        clips: that it trains on.
        seconds: of these clips.
    """
    steps = settings.steps or (settings.epochs * settings.epoch_steps if settings.epoch_steps else None)
    if steps is None:
        return settings.epochs
    batches = seconds / settings.batch_seconds if settings.batch_seconds else clips / settings.batch_size
    return steps / math.ceil(math.ceil(batches) / settings.accumulate)


def count_evaluations(settings: Optimisation, passes: float) -> int:
    """Evaluations of a training of so many passes over its clips: one after each, or after every `epoch_steps`."""
    if settings.epoch_steps is None:
        return math.ceil(passes)
    return settings.epochs if settings.steps is None else math.ceil(settings.steps / settings.epoch_steps)


def read_calibration(path: Path = CALIBRATION) -> dict[str, Any] | None:
    """Speeds that were measured in this folder; None if there are none."""
    found = read_cache(path)
    if found is None and path.exists():
        logger.warning("%s is damaged, and left aside: call `emoadapt plan --calibrate` again", path)
    return found


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def to_hours(seconds: float | None) -> float | None:
    """Seconds as hours; None stays None."""
    return None if seconds is None else seconds / 3600
