"""Loading of a task's clips, with classes or attributes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from emoadapt.training.labelled import LabelledClips
from emoadapt.training.rated import RatedClips

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.runs import TaskClips


def load_clips(job: TaskJob, usable: Collection[str]) -> TaskClips:
    """Splits and subsets of a job's task.

    Args:
        job: on a task.
        usable: utterances that have the input; others are left out and counted.

    Raises:
        TrainingError: the targets are to be soft, and no clip has votes.
        DataError: a table does not fit.
    """
    if job.task.kind == "attributes":
        return RatedClips(job.splits, job.subsets, job.task.attributes, usable)
    soft = getattr(job.settings, "targets", "hard") == "soft"
    return LabelledClips(job.splits, job.subsets, job.task.classes, usable, soft=soft)
