"""Pictures of a run and of a dry run, made of text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from emoadapt.terminal.logs import read_newest_line
from emoadapt.terminal.stages import Count, Job, Run

SHOWN = 4
"""Running jobs that are shown with the newest line of their logs."""

REASONS = {
    "Missing output files": "no output yet",
    "Incomplete output files": "output incomplete",
    "Forced execution": "forced",
    "Code has changed": "rule changed",
    "Software environment": "software environment changed",
    "Set of input files": "other input files",
    "Updated input files": "input changed",
    "Input files updated by another job": "input is made anew",
}
"""Beginning of a reason of Snakemake's -> its short form; the first that holds is the reason of a job."""

CHANGED = "changed: "
"""What stands before the words in which an output differs from the study (`emoadapt.terminal.wording`)."""

SHOWN_REASONS = 4
"""Reasons that are shown of a stage."""


class Terminal(Console):
    """A console whose cursor stays visible: a run that is killed could not show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor as it is."""
        return False


def draw_run(run: Run, now: float) -> Group:
    """Draw a line per stage, the jobs that run, and the sum."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("stage", no_wrap=True)
    table.add_column(min_width=4, max_width=16)
    table.add_column("done", no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    table.add_column("time", no_wrap=True, justify="right")
    table.add_column("left", no_wrap=True, justify="right")
    for count in run.count(now):
        table.add_row(count.stage, *_draw_count(count))
    table.add_row("all", *_draw_count(run.count_all(now)), style="bold")
    return Group(table, *_draw_running(run.running(), now))


def _draw_count(count: Count) -> list[RenderableType]:
    """Draw a bar, the jobs done, what runs and failed, the time it took, the time left."""
    running = Text(f"{count.running} {'sent' if count.queued else 'running'}") if count.running else None
    failed = Text(f"{count.failed} failed", style="red") if count.failed else None
    state = Text(", ").join(filter(None, [running, failed]))
    left = "?" if count.left is None else format_time(count.left) + (" + ?" if count.more else "")
    seconds = "" if count.seconds is None else format_time(count.seconds)
    bar = ProgressBar(total=count.total, completed=count.done)
    return [bar, f"{count.done}/{count.total}", state, seconds, left if count.running else ""]


def _draw_running(jobs: list[Job], now: float) -> Iterable[RenderableType]:
    if not jobs:
        return
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    for job in jobs[:SHOWN]:
        table.add_row(
            Text(_shorten(job.name)), format_time(now - job.begun), Text(read_newest_line(job.logs), style="dim")
        )
    if len(jobs) > SHOWN:
        table.add_row(f"and {len(jobs) - SHOWN} more")
    yield Text()
    yield table


def _shorten(name: str) -> str:
    """Cut out the middle of a long name: its rule and its last wildcards distinguish jobs."""
    return name if len(name) <= 48 else f"{name[:23]}…{name[-24:]}"


def draw_dry_run(stages: Mapping[str, str], jobs: Iterable[Job]) -> Table:
    """Draw what would run: stages, their numbers of jobs, and reasons."""
    reasons: dict[str, Counter[str]] = {stage: Counter() for stage in dict.fromkeys(stages.values())}
    for job in jobs:
        reasons[stages[job.rule]][shorten_reason(job.reason)] += 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    table.add_column("because")
    for stage, counts in reasons.items():
        if counts:
            words = [f"{n} {reason}" if len(counts) > 1 else reason for reason, n in counts.most_common(SHOWN_REASONS)]
            if more := len(counts) - SHOWN_REASONS:
                words += [f"{more} other reason{'s' * (more > 1)} (-p)"] * (more > 0)
            table.add_row(stage, str(counts.total()), "\n".join(words))
    table.add_row("all", str(sum(map(Counter.total, reasons.values()))), "", style="bold")
    return table


OTHER_INPUTS = ("input is made anew", "made from other inputs", "other input files", "input changed")
"""Short reasons for which a shard of a feature is brought up to date row by row."""
ROWS_ARE_KEPT = (
    "Shards of features are brought up to date: rows of clips that did not change, nor what they are computed from, are kept. "
    "The log of each job counts them."
)


def explain_updates(features: Collection[str], jobs: Iterable[Job]) -> str:
    """A sentence on what is kept of shards that are made from other inputs; empty where none is.

    Args:
        features: rules that compute shards of features.
        jobs: that would run.
    """
    updated = any(job.rule in features and shorten_reason(job.reason) in OTHER_INPUTS for job in jobs)
    return ROWS_ARE_KEPT if updated else ""


def shorten_reason(reason: str) -> str:
    """Shorten Snakemake's reason for a job; an unknown one stays as it is."""
    if words := re.search(rf"\b{CHANGED}([^;]+)", reason):
        return words[1].strip()
    parts = reason.split("; ")
    return next((short for begin, short in REASONS.items() if any(part.startswith(begin) for part in parts)), reason)


def format_time(seconds: float) -> str:
    """Hours, minutes and seconds: `0:03:20`; zero where the clock was put back meanwhile."""
    return str(timedelta(seconds=max(0, round(seconds))))
