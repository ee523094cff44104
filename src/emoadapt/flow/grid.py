"""The grid of fine-tuning runs: settings, runs within a setting, and the batches that share a process."""

from __future__ import annotations

from dataclasses import dataclass

from emoadapt.config import Study

HANDCRAFTED = ("handcrafted", "egemaps")
"""Backbone and starting point of the handcrafted baseline."""
CLASSICAL = ("handcrafted", "classical")
"""Those of the classical one."""


@dataclass(frozen=True, order=True)
class Setting:
    """What a table's row is about: one model on one task with one amount of training data."""

    task: str
    backbone: str
    start: str
    subset: str

    @property
    def model(self) -> str:
        """`<backbone>.<start>`."""
        return f"{self.backbone}.{self.start}"


@dataclass(frozen=True, order=True)
class Run:
    """One training: which draw of the subset, which fold, which seed."""

    resampling: int
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"r{self.resampling}f{self.fold}s{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Run:
        """The inverse of `str`."""
        resampling, rest = text.removeprefix("r").split("f")
        fold, seed = rest.split("s")
        return cls(int(resampling), int(fold), int(seed))


def count_gpus(study: Study, backbone: str, task: str | None = None) -> int:
    """GPUs that a training job asks for.

    Args:
        study: the study.
        backbone: what is trained; the baselines without one need none.
        task: what it is fine-tuned on; None = Stage 1. Tasks with attributes take one: a concordance coefficient is of all
            clips of a batch, not a mean over them.
    """
    if study.device == "cpu" or backbone == HANDCRAFTED[0]:
        return 0
    return 1 if task and study.tasks[task].attributes else study.gpus_per_job


def settings(study: Study) -> list[Setting]:
    """All settings of a study."""
    found = []
    for task, config in study.tasks.items():
        for backbone in study.backbones:
            for start in study.starts(backbone, task):
                found += [
                    (task, backbone, start, size)
                    for size in config.subsets
                    if start in study.starts(backbone, task, size)
                ]
        if study.finetuning.egemaps_baseline:
            found += [(task, *HANDCRAFTED, size) for size in config.subsets]
        if study.finetuning.classical and config.classes:
            found += [(task, *CLASSICAL, size) for size in config.subsets]
    return [Setting(task, backbone, start, str(size)) for task, backbone, start, size in found]


def runs(study: Study, setting: Setting, folds: int) -> list[Run]:
    """Runs of a setting: every fold and seed, for every draw of its subset (`full` has one).

    Seeds vary slowest, so that one more seed leaves all full batches as they are. What is deterministic has the first only.
    """
    deterministic = (setting.backbone, setting.start) == CLASSICAL
    resamplings = 1 if setting.subset == "full" else study.tasks[setting.task].resamplings
    return [
        Run(resampling, fold, seed)
        for seed in study.finetuning.seeds[: 1 if deterministic else None]
        for resampling in range(resamplings)
        for fold in range(folds)
    ]


def batches(study: Study, setting: Setting, folds: int) -> dict[str, list[Run]]:
    """Batch name -> runs that share one process."""
    todo, size = runs(study, setting, folds), study.runs_per_job
    return {f"b{start // size:03d}": todo[start : start + size] for start in range(0, len(todo), size)}
