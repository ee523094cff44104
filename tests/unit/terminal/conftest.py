"""Records as Snakemake logs them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from emoadapt.terminal.stages import Run, name_stages

FILES = {
    "all": "Snakefile", "manifest": "corpora", "audio": "features", "parts": "targets", "keep": "train", "adapt": "train",
    "train": "train", "evaluate": "evaluate", "report": "report",
}  # fmt: skip
"""Rule -> file."""

Record = Callable[..., logging.LogRecord]


@pytest.fixture
def run() -> Run:
    return Run(name_stages(FILES))


@pytest.fixture
def record() -> Record:
    """Makes a record: what is said, when, the event and its fields."""

    def make(text: str, at: float = 0.0, level: int = logging.INFO, **fields: Any) -> logging.LogRecord:
        return logging.makeLogRecord({"msg": text, "levelno": level, "created": at, **fields})

    return make


class Events:
    """Events of jobs, as they come from Snakemake."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def plan(self, **counts: int) -> logging.LogRecord:
        stats = {**counts, "all": 1, "total": sum(counts.values()) + 1}
        return self.record("Job stats:", event=LogEvent.RUN_INFO, stats=stats)

    def begin(
        self,
        number: int,
        rule: str,
        at: float,
        *wildcards: str,
        log: Sequence[str] = (),
        reason: str = "",
        local: bool = True,
    ) -> logging.LogRecord:
        return self.record(
            f"Rule: {rule}", at, event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, log=list(log), reason=reason, local=local,
            wildcards={f"w{place}": value for place, value in enumerate(wildcards)},
        )  # fmt: skip

    def finish(self, number: int, at: float) -> logging.LogRecord:
        return self.record("Finished jobid", at, event=LogEvent.JOB_FINISHED, job_id=number)

    def fail(
        self, number: int, rule: str, at: float, log: Sequence[str] = (), words: str | None = None
    ) -> logging.LogRecord:
        return self.record(
            f"Error in rule {rule}", at, logging.ERROR, event=LogEvent.JOB_ERROR, jobid=number, rule_name=rule,
            rule_msg=words, log=list(log),
        )  # fmt: skip

    def progress(self, done: int, total: int) -> logging.LogRecord:
        return self.record("None", event=LogEvent.PROGRESS, done=done, total=total)


@pytest.fixture
def events(record: Record) -> Events:
    return Events(record)
