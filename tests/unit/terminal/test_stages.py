"""Counts and times of stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emoadapt.terminal.stages import Count, Run, name_stages

if TYPE_CHECKING:
    from conftest import Events


def test_a_stage_is_a_file_of_rules_a_feature_or_a_training(run: Run) -> None:
    assert list(run.stages.values()) == [
        "corpora", "audio", "targets", "frozen layers", "Stage 1", "Stage 2", "evaluation", "report"
    ]  # fmt: skip
    assert "all" not in run.stages
    assert name_stages({"faces": "features", "egemaps": "features"}) == {"faces": "faces", "egemaps": "egemaps"}


def test_jobs_are_counted(run: Run, events: Events) -> None:
    for record in (
        events.plan(audio=4), events.begin(1, "audio", 10, "talks", "000"), events.begin(2, "audio", 12, "talks", "001"),
        events.finish(1, 20), events.begin(3, "audio", 20, "talks", "002"), events.fail(2, "audio", 22),
    ):  # fmt: skip
        run.take(record)
    # One job took 10 s: 6 s are left of the one that runs, 10 s of the one that waits; one runs at a time.
    assert run.count(24) == [Count("audio", total=4, done=1, running=1, failed=1, seconds=14, left=16)]
    assert [job.name for job in run.failed()] == ["audio talks 001"]


def test_the_time_left_is_unknown_until_a_job_of_each_rule_has_ended(run: Run, events: Events) -> None:
    run.take(events.plan(audio=2, report=1))
    run.take(events.begin(1, "audio", 0))
    assert run.count(5)[0].left is None and run.count_all(5).left is None
    run.take(events.finish(1, 10))
    run.take(events.begin(2, "audio", 10))
    assert run.count(13)[0].left == 7
    assert (run.count(13)[0].more, run.count_all(13).more) == (False, True), "no report was made yet"


def test_the_time_left_of_all_follows_from_how_many_jobs_ran_at_a_time(run: Run, events: Events) -> None:
    run.take(events.plan(audio=6))
    for number, begun, ended in ((1, 0, 10), (2, 0, 10), (3, 10, 20), (4, 10, 20)):
        run.take(events.begin(number, "audio", begun))
        run.take(events.finish(number, ended))
    assert run.count_all(20).left == pytest.approx(10), "two jobs of 10 s, two at a time"


def test_a_job_slower_than_those_before_it_has_no_time_left(run: Run, events: Events) -> None:
    run.take(events.plan(audio=2))
    run.take(events.begin(1, "audio", 0))
    run.take(events.finish(1, 10))
    run.take(events.begin(2, "audio", 10))
    assert run.count(21)[0].left is None


def test_a_job_that_is_tried_again_is_no_longer_failed(run: Run, events: Events) -> None:
    run.take(events.plan(adapt=1))
    for attempt in (0, 10):
        run.take(events.begin(1, "adapt", attempt))
        run.take(events.fail(1, "adapt", attempt + 5))
    run.take(events.begin(1, "adapt", 20))
    assert (run.count(20)[0].running, run.failed()) == (1, [])
    run.take(events.finish(1, 30))
    assert run.count(30) == [Count("Stage 1", total=1, done=1, running=0, failed=0, seconds=30, left=None)]


def test_the_target_of_all_is_no_job(run: Run, events: Events) -> None:
    run.take(events.plan(report=1))
    assert run.take(events.begin(0, "all", 0)) is None and run.take(events.finish(0, 1)) is None
    assert run.count_all(1).total == 1


def test_jobs_in_a_queue_are_not_taken_for_running_ones(run: Run, events: Events) -> None:
    """All four are sent at once, and one ends every 10 s: the times of single jobs hold their waiting."""
    run.take(events.plan(audio=4))
    for number in range(4):
        run.take(events.begin(number, "audio", 0, local=False))
    assert run.count(5)[0].left is None
    run.take(events.finish(0, 10))
    run.take(events.finish(1, 20))
    count = run.count(20)[0]
    assert (count.queued, count.running, count.left) == (True, 2, 20)
    assert run.count_all(20).left is None
