"""Tables of runs hold what a method gave for each test clip, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from emoadapt.errors import TrainingError
from emoadapt.study.nodes import Run
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables


@pytest.fixture(params=["classes", "attributes"])
def open_run(work, request: pytest.FixtureRequest) -> tuple[RunTables, RunClips]:
    """Tables of a job of either kind of task, and the clips of its run."""
    work.write_labelled()
    if request.param == "attributes":
        work.values["tasks"]["emotion"] |= {"attributes": ["arousal", "valence"]}
        del work.values["tasks"]["emotion"]["classes"]
    job = work.task_job()
    clips = load_clips(job, work.make_layers())
    return RunTables(job.setting, clips), clips.select(Run())


def make_outputs(part: RunClips) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(part.test), 2))


def spoil(outputs: np.ndarray, value: object) -> np.ndarray:
    if value in ("narrow", "wide"):
        return outputs[:, :1] if value == "narrow" else np.hstack([outputs, outputs])
    if value == "short":
        return outputs[1:]
    outputs[-1] = value
    return outputs


@pytest.mark.parametrize("value", ["narrow", "wide", "short", [np.nan, 0.0], [0.0, np.inf], [-np.inf, -np.inf]])
def test_outputs_that_say_nothing_of_a_clip_are_refused(open_run: tuple[RunTables, RunClips], value: object) -> None:
    """Symptom: where a method of one's own gave NaN, or a column too few, the first class was predicted without a word."""
    tables, part = open_run
    with pytest.raises(TrainingError, match=r"emotion\.tiny\.original\.full\.p0f0r0s0: .*correct the training method"):
        tables.add_predictions(Run(), part.test, spoil(make_outputs(part), value))
    assert not tables.predictions


def test_a_class_may_have_the_probability_0(open_run: tuple[RunTables, RunClips]) -> None:
    tables, part = open_run
    outputs = spoil(make_outputs(part), [-np.inf, 0.0])
    if tables.clips.kind == "classes":
        tables.add_predictions(Run(), part.test, outputs)
        assert tables.predictions[Run()]["predicted"].to_pylist()[-1] == "high"
    else:
        with pytest.raises(TrainingError, match="not finite"):
            tables.add_predictions(Run(), part.test, outputs)
