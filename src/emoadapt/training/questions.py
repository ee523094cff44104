"""Loading of a task's clips, with classes or attributes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from emoadapt import schema
from emoadapt.storage.frames import read_frame
from emoadapt.tasks.subsets import draw_subsets
from emoadapt.training.labelled import LabelledClips
from emoadapt.training.rated import RatedClips

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.runs import TaskClips


def load_clips(job: TaskJob, usable: Collection[str]) -> TaskClips:
    """Read the splits of a job's task, and draw its training clips from them.

    Args:
        job: on a task.
        usable: utterances that have the input; others are left out and counted.

    Raises:
        TrainingError: the targets are to be soft, and no clip has votes.
        DataError: a table does not fit, or holds too few clips to draw from.
    """
    splits = read_frame(job.splits, schema.SPLITS)
    subsets = draw_subsets(splits, job.task, job.setting.subset, job.setting.task)
    if job.task.kind == "attributes":
        return RatedClips(splits, subsets, job.task.attributes, usable)
    soft = getattr(job.settings, "targets", "hard") == "soft"
    return LabelledClips(splits, subsets, job.task.classes, usable, soft=soft)
