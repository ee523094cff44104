"""Jobs of a Snakemake run counted by stage, from the events that Snakemake logs."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

OWN = {"keep": "frozen layers", "adapt": "Stage 1", "train": "Stage 2", "refit": "kept classifiers"}
"""Rule -> name of a stage that consists of this rule alone."""
FILES = {"evaluate": "evaluation"}
"""File of rules -> name of the stage, where they differ."""


def name_stages(files: Mapping[str, str]) -> dict[str, str]:
    """Rule -> stage. A file of rules is a stage, and so are each feature and each kind of training.

    Args:
        files: rule -> the file that declares it, without suffix, in the order of the rules. Rules of the Snakefile itself
            only gather the results of others, and belong to no stage.
    """
    return {
        rule: OWN.get(rule) or (rule if file == "features" else FILES.get(file, file))
        for rule, file in files.items()
        if file != "Snakefile"
    }


@dataclass(frozen=True)
class Job:
    """A job that began at `begun`, in seconds since the epoch; one that is not local may wait in a queue first."""

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[str]
    reason: str
    begun: float
    local: bool = True

    @property
    def name(self) -> str:
        """The rule and the values of its wildcards."""
        return " ".join([self.rule, *map(str, self.wildcards.values())])


@dataclass(frozen=True)
class Count:
    """The jobs of a stage; times in seconds.

    Attributes:
        seconds: from the first job's start to now, or to the end of the last job; None before the first.
        left: time left; None if not known.
        more: `left` covers the rules with a finished job alone; others have jobs left too.
        queued: jobs that run may still wait in the queue of a cluster.
    """

    stage: str
    total: int
    done: int
    running: int
    failed: int
    seconds: float | None
    left: float | None
    more: bool = False
    queued: bool = False


class Run:
    """Counts of a run, safe to read from another thread.

    Args:
        stages: rule -> stage, in the order to show.
    """

    def __init__(self, stages: Mapping[str, str]) -> None:
        self.stages = stages
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._running: dict[int, Job] = {}
        self._failed: dict[int, Job] = {}
        self._finished: defaultdict[str, list[float]] = defaultdict(list)
        self._ends: dict[str, float] = {}
        self._starts: dict[str, float] = {}

    def take(self, record: Any) -> Job | None:
        """Count what a record of Snakemake's log reports.

        Args:
            record: a `logging.LogRecord`, with the fields of its event.

        Returns:
            The job that began, finished or failed, if it belongs to a stage.
        """
        with self._lock:
            match getattr(record, "event", None):
                case LogEvent.RUN_INFO:
                    self._totals = Counter({rule: n for rule, n in record.stats.items() if rule in self.stages})
                case LogEvent.JOB_INFO if record.rule_name in self.stages:
                    return self._begin(record)
                case LogEvent.JOB_FINISHED:
                    return self._finish(record.job_id, record.created)
                case LogEvent.JOB_ERROR:
                    return self._fail(record.jobid, record.created)
        return None

    def _begin(self, record: Any) -> Job:
        job = Job(record.rule_name, record.wildcards, record.log, record.reason, record.created, record.local)
        self._failed.pop(record.jobid, None)
        self._running[record.jobid] = job
        self._starts.setdefault(self.stages[job.rule], job.begun)
        return job

    def _finish(self, number: int, now: float) -> Job | None:
        if job := self._running.pop(number, None):
            self._finished[job.rule].append(now - job.begun)
            self._ends[self.stages[job.rule]] = now
        return job

    def _fail(self, number: int, now: float) -> Job | None:
        if job := self._running.pop(number, None):
            self._failed[number] = job
            self._ends[self.stages[job.rule]] = now
        return job

    def running(self) -> list[Job]:
        """Jobs that run, those that began first first."""
        with self._lock:
            return list(self._running.values())

    def failed(self) -> list[Job]:
        """Jobs that failed and were not begun again."""
        with self._lock:
            return list(self._failed.values())

    def count(self, now: float) -> list[Count]:
        """Counts of each stage that has jobs in this run."""
        with self._lock:
            counts = (self._count(stage, now) for stage in dict.fromkeys(self.stages.values()))
            return [count for count in counts if count.total]

    def count_all(self, now: float) -> Count:
        """Counts of the whole run.

        The time left is what the jobs need one after another, divided by the mean number of jobs that ran at a time. It is not
        known while jobs may wait in a queue.
        """
        with self._lock:
            begun = min(self._starts.values(), default=now)
            spent = sum(map(sum, self._finished.values())) + sum(now - job.begun for job in self._running.values())
            count = self._make_count("all", self._totals, now - begun)
            if count.queued or not spent:
                return count
            return self._estimate(count, self._totals, now, speed=spent / (now - begun))

    def _count(self, stage: str, now: float) -> Count:
        rules = [rule for rule, name in self.stages.items() if name == stage]
        begun, running = self._starts.get(stage), any(job.rule in rules for job in self._running.values())
        seconds = None if begun is None else (now if running else self._ends.get(stage, now)) - begun
        count = self._make_count(stage, rules, seconds)
        if not count.queued:
            return self._estimate(count, rules, now, speed=count.running)
        # How long a job waited is in its time: what counts is how many ended so far.
        todo = count.total - count.done - count.failed
        return replace(count, left=todo * count.seconds / count.done) if count.seconds and count.done else count

    def _estimate(self, count: Count, rules: Iterable[str], now: float, speed: float) -> Count:
        """Add the time left, from the jobs that finished and the mean number of jobs at a time."""
        known = {rule: work for rule in rules if (work := self._measure_work(rule, now)) is not None}
        work = sum(known.values())
        # Jobs that take longer than those before them: nothing is known about their end.
        return replace(count, left=work / speed, more=len(known) < len(set(rules))) if work and speed else count

    def _make_count(self, name: str, rules: Iterable[str], seconds: float | None) -> Count:
        """Count without the time left."""
        rules = set(rules)
        running = [job for job in self._running.values() if job.rule in rules]
        return Count(
            name,
            total=sum(self._totals[rule] for rule in rules),
            done=sum(len(self._finished[rule]) for rule in rules),
            running=len(running),
            failed=sum(job.rule in rules for job in self._failed.values()),
            seconds=seconds,
            left=None,
            queued=not all(job.local for job in running),
        )

    def _measure_work(self, rule: str, now: float) -> float | None:
        """Seconds that the jobs left of a rule need one after another; None if none has finished."""
        done = self._finished[rule]
        ages = [now - job.begun for job in self._running.values() if job.rule == rule]
        failed = sum(job.rule == rule for job in self._failed.values())
        waiting = self._totals[rule] - len(done) - len(ages) - failed
        if not ages and not waiting:
            return 0.0
        mean = fmean(done) if done else None
        return None if mean is None else waiting * mean + sum(max(mean - age, 0) for age in ages)
