"""Progress of a long job: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

logger = logging.getLogger(__name__)


class Progress:
    """Counts the clips of a job, the hours of media in them, and those set aside; a context manager.

    On a terminal a bar moves with every clip. Elsewhere `report` writes a line, for the caller to call now and then, and the
    end writes one with the totals.

    Args:
        name: what is computed.
        total: clips to do.
    """

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.done, self.media_seconds, self.set_aside, self.noted = 0, 0.0, 0, 0
        self._begun = time.monotonic()
        self._bar: Bar | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = make_bar()
            self._task = self._bar.add_task(self.name, total=self.total, state="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        if error is None:
            seconds = time.monotonic() - self._begun
            logger.info("%s: %d clips in %s: %s", self.name, self.done, _format_time(seconds), self.describe())

    def add(self, row: dict[str, Any], media_seconds: float) -> None:
        """One more clip is done; `row` holds its status and reason."""
        self.done += 1
        self.media_seconds += media_seconds
        self.set_aside += row["status"] != "ok"
        self.noted += row["status"] == "ok" and row.get("reason") is not None
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, state=self.describe())

    def report(self) -> None:
        """A line in the log, unless a bar says the same."""
        if self._bar is None and self.done:
            left = (time.monotonic() - self._begun) / self.done * (self.total - self.done)
            logger.info("%d of %d clips, %s, about %s left", self.done, self.total, self.describe(), _format_time(left))

    def describe(self) -> str:
        """Rate, hours of media where they are known, and clips set aside."""
        parts = [f"{self.done / max(time.monotonic() - self._begun, 1e-6):.3g} clips/s"]
        if self.media_seconds:
            parts.append(f"{self.media_seconds / 3600:.3g} h of media")
        parts.append(f"{self.set_aside} set aside")
        if self.noted:
            parts.append(f"{self.noted} noted")
        return ", ".join(parts)


def make_bar() -> Bar:
    """A bar on the standard error, whose tasks have a field `state`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(), TextColumn("left"), console=Console(stderr=True),
    )  # fmt: skip


def _format_time(seconds: float) -> str:
    """Format a duration: `48 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
