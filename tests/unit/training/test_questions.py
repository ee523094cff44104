"""A task's clips follow from what it asks."""

import pytest

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.training.labelled import LabelledClips
from emoadapt.training.questions import load_clips
from emoadapt.training.rated import RatedClips


def test_classes_give_labelled_clips_and_attributes_rated_ones(work) -> None:
    work.write_labelled()
    labelled = load_clips(work.task_job(), {})
    assert isinstance(labelled, LabelledClips)
    assert (labelled.classes, labelled.shares) == (("low", "high"), None)
    work.values["tasks"]["emotion"] |= {"attributes": ["valence", "arousal"]}
    del work.values["tasks"]["emotion"]["classes"]
    rated = load_clips(work.task_job(), {})
    assert isinstance(rated, RatedClips) and rated.outputs == ("valence", "arousal")


def test_votes_are_read_where_targets_are_soft(work) -> None:
    work.write_labelled()
    work.tune(targets="soft")
    with pytest.raises(TrainingError, match="targets is soft, but no clip of the task has raters' votes"):
        load_clips(work.task_job(), {})
    work.edit("splits", lambda row: row | {"soft": [0.25, 0.75]}, schema.SPLITS)
    assert load_clips(work.task_job(), {}).shares["acted/000"].tolist() == [0.25, 0.75]


def test_a_method_without_soft_targets_reads_no_votes(work) -> None:
    work.write_labelled()
    work.tune("svm", method="svm", backbones=["egemaps"])
    assert load_clips(work.task_job("egemaps.original.svm"), {}).shares is None
