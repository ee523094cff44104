"""Training jobs: the object that the command line passes down. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.flow.shards import group_by_corpus
from emoadapt.machine.devices import take_devices
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config import Backbone, Study, Task
    from emoadapt.study.nodes import Run, Setting

Shards = Mapping[str, Mapping[str, Sequence[Path]]]
"""Feature, or kept output (`frontend.hubert`, `layers.hubert.adapted`), or `training` -> corpus -> its shards."""


def list_files(shards: Shards) -> list[Path]:
    """All shards, one after another."""
    return [path for corpora in shards.values() for paths in corpora.values() for path in paths]


@dataclass(frozen=True)
class Job:
    """A training, whatever its method.

    Args:
        study: the configuration.
        backbone: which of its backbones.
        start: `original`, or an adaptation: the one trained in Stage 1, the one started from on a task.
        shards: what it reads.
        output: folder to write.
        threads: CPU threads.
    """

    study: Study
    backbone: str
    start: str
    shards: Shards
    output: Path
    threads: int

    @property
    def config(self) -> Backbone:
        """Section of the backbone."""
        return self.study.backbones[self.backbone]

    @property
    def files(self) -> list[Path]:
        """All shards that it reads."""
        return list_files(self.shards)


@dataclass(frozen=True)
class AdaptationJob(Job):
    """A Stage-1 training, which all tasks share.

    Args:
        parts: PARTS table; the held-out part chooses the epoch.
        normalisers: NORMALISERS table.
        curves: CURVES table to write.
        splits: SPLITS tables of the task whose dev part chooses the epoch instead.
        labelled: shards of its clips.
    """

    parts: Path
    normalisers: Path
    curves: Path
    splits: Sequence[Path] = ()
    labelled: Shards = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """All shards that it reads."""
        return [*super().files, *list_files(self.labelled)]

    @property
    def kept(self) -> dict[str, str]:
        """Kept outputs that stand for streams, by the streams' roles: what makes them is frozen."""
        return self.study.list_kept("stage1", self.backbone, self.start)

    @property
    def settings(self) -> Any:
        """Section of the adaptation."""
        return self.study.adaptations[self.start]

    @property
    def name(self) -> str:
        """Name of the model: `<backbone>.<adaptation>`."""
        return f"{self.backbone}.{self.start}"


@dataclass(frozen=True)
class TaskJob(Job):
    """Runs of one setting that share a process; they write predictions, embeddings, training clips, curves and models.

    Args:
        setting: model, task and number of training clips.
        runs: what to train.
        splits: SPLITS tables of the runs' partitions; training clips are drawn from them.
        model: folder of the Stage-1 model to start from; None for the original.
        upstream: name of another model that the runs need -> tables of its same runs.
    """

    setting: Setting
    runs: Sequence[Run]
    splits: Sequence[Path]
    model: Path | None = None
    upstream: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, str]:
        """Kept outputs that stand for streams, by the streams' roles: what makes them is frozen."""
        return self.study.list_kept("stage2", self.backbone, self.start)

    @property
    def settings(self) -> Any:
        """Section of the fine-tuning."""
        return self.study.finetunings[self.setting.model.finetuning]

    @property
    def task(self) -> Task:
        """Section of the task."""
        return self.study.tasks[self.setting.task]

    @property
    def models(self) -> Path:
        """Folder of the models that are kept."""
        return self.output / "models"


def run_job(job: AdaptationJob | TaskJob, gpus: int) -> None:
    """Do a job by its method, in one process for each GPU.

    Args:
        job: what to train.
        gpus: GPUs that the job asked for; several jobs of a machine share its GPUs out among themselves.
    """
    train = load_plugin("methods", job.settings.method).train
    if not gpus:
        train(job)
        return
    # Before anything looks for a GPU.
    take_devices(gpus)
    from emoadapt.machine.processes import count_processes, run_in_processes

    run_in_processes(count_processes(gpus), job.study.device, train, job)


def group_shards(paths: Sequence[Path]) -> dict[str, dict[str, list[Path]]]:
    """Shards `<feature>/<corpus>/<shard>.parquet` by feature (or kept output) and corpus."""
    by_feature: dict[str, list[Path]] = {}
    for path in paths:
        by_feature.setdefault(path.parts[-3], []).append(path)
    return {feature: group_by_corpus(found) for feature, found in by_feature.items()}
