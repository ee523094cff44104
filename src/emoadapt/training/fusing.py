"""Fusion of trained models by their logits. Without torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from emoadapt import schema
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
from emoadapt.training.machines import complete_job
from emoadapt.training.runs import RunClips

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.labelled import LabelledClips

Logits = Mapping[tuple[Run, str], np.ndarray]
"""(run, utterance) -> (n_classes,) logits of a model."""

_COLUMNS = ["partition", "fold", "resampling", "seed", "utterance_id", "logits"]


def fuse(job: TaskJob) -> None:
    """Add, run by run, the logits of the models that the job names.

    A test clip that one of the models did not predict is left out, and counted like a clip without usable input.

    Args:
        job: its settings are of `methods.fuse`.

    Raises:
        TrainingError: a run has no test clip that all models predicted.
        DataError: a table does not fit.
    """
    models = [_read_logits(job, name) for name in job.settings.of]

    def predict(run: Run, part: RunClips, clips: LabelledClips) -> np.ndarray:
        return np.stack([add_logits(models, run, name) for name in part.test["utterance_id"]])

    complete_job(job, predict, _list_usable(job, models))


def add_logits(models: Collection[Logits], run: Run, name: str) -> np.ndarray:
    """Sum (n_classes,) float32 of the logits of a clip in a run, in the order of the models."""
    return np.stack([of_model[run, name] for of_model in models]).sum(axis=0, dtype=np.float32)


def _read_logits(job: TaskJob, name: str) -> Logits:
    rows = read_table(job.upstream[name], schema.PREDICTIONS, _COLUMNS)
    *run, names, logits = (rows.column(column).to_pylist() for column in _COLUMNS)
    places = zip((Run(*values) for values in zip(*run, strict=True)), names, strict=True)
    return dict(zip(places, np.array(logits, np.float32), strict=True))


def _list_usable(job: TaskJob, models: Collection[Logits]) -> set[str]:
    """Clips of the task, without those that one of the models lacks in a run of the job."""
    splits = read_table(job.splits, schema.SPLITS, ["utterance_id", "partition", "fold", "split"]).to_pylist()
    lacking = {
        row["utterance_id"]
        for row in splits
        for run in job.runs
        if (row["partition"], row["fold"], row["split"]) == (run.partition, run.fold, "test")
        and any((run, row["utterance_id"]) not in of_model for of_model in models)
    }
    return {row["utterance_id"] for row in splits} - lacking
