"""Handlers of Snakemake's log that take the place of its own one on a terminal.

Its own one stays wherever nobody looks on: in pipes, CI and the log file under `.snakemake/log`.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.common import LogEvent

from emoadapt.terminal.stages import Job, Run, name_stages

if TYPE_CHECKING:
    from rich.console import Console

OWN_HANDLER = "DefaultStreamHandler"
"""Name of Snakemake's own handler."""
LINES = 15
"""Last lines of a failed job's log that are shown."""

HIDDEN = frozenset(LogEvent) - {LogEvent.ERROR, LogEvent.GROUP_ERROR}
"""Events that are drawn or of no use to a person."""
NOISE = re.compile(
    r"Assuming unrestricted shared filesystem|Using shell:|Group jobs:|Conda environments: ignored|Singularity containers: ignored"
    r"|Select jobs to execute|Removing output files of failed job|Exiting because a job execution failed|Elapsed time:"
    r"|Reasons:\n|Job \d+ has been submitted|None$"
)
"""Beginnings of messages that are not shown; all are in the log file."""
LAST = "Complete log"
"""Beginning of the message after which no job ends any more."""
DRY_RUN_ENDS = "This was a dry-run"

_EXIT = re.compile(r"(returned non-zero exit status \d+|died with <[^>]*>)\.?\s*$")


def show_on_terminal(logger: logging.Logger, files: Mapping[str, str], settings: Any) -> None:
    """Show the stages of a run, or of a dry run, where a person looks on.

    Snakemake's lines stay as they are in a pipe, in its log file, with `--logger`, and if its options ask for more or for less
    of them (`--printshellcmds`, `--verbose`, `--debug-dag`, `--quiet`).

    Args:
        logger: that of Snakemake.
        files: rule -> the file that declares it, without suffix.
        settings: output settings of Snakemake.
    """
    plain = next((handler for handler in logger.handlers if handler.name == OWN_HANDLER), None)
    asked = settings.printshellcmds or settings.verbose or settings.debug_dag or settings.quiet
    if plain is None or asked or not plain.can_color_tty():  # type: ignore[attr-defined]
        return
    from emoadapt.terminal.drawing import Terminal

    console = Terminal(file=plain.stream, highlight=False, no_color=settings.nocolor or None)  # type: ignore[attr-defined]
    kind = DryRunHandler if settings.dryrun else RunHandler
    logger.removeHandler(plain)
    logger.addHandler(kind(console, name_stages(files)))


class _Handler(logging.Handler):
    """Prints what is not known to be drawn.

    Args:
        console: the terminal.
        stages: rule -> stage.
    """

    def __init__(self, console: Console, stages: Mapping[str, str]) -> None:
        super().__init__()
        self.console, self.run = console, Run(stages)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record; what goes wrong in here stops no run."""
        try:
            self.show(record)
        except Exception:
            self.handleError(record)

    def show(self, record: logging.LogRecord) -> None:
        """Print a record unless it is hidden."""
        text = record.getMessage()
        if getattr(record, "event", None) not in HIDDEN and not NOISE.match(text):
            self.print(text, "red" if record.levelno >= logging.ERROR else "")

    def print(self, text: str, style: str = "") -> None:
        """Print lines as they are, however long."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)


class DryRunHandler(_Handler):
    """Prints a table of stages in place of every job."""

    def __init__(self, console: Console, stages: Mapping[str, str]) -> None:
        super().__init__(console, stages)
        self.jobs: list[Job] = []

    def show(self, record: logging.LogRecord) -> None:
        """Collect jobs, and print the table at the end."""
        if not record.getMessage().startswith(DRY_RUN_ENDS):
            self.jobs += filter(None, [self.run.take(record)])
            super().show(record)
            return
        from emoadapt.plugins import list_plugins
        from emoadapt.terminal.drawing import draw_dry_run, explain_updates

        self.console.print(draw_dry_run(self.run.stages, self.jobs))
        if said := explain_updates(list_plugins("features"), self.jobs):
            self.print(f"\n{said}")
        self.print(
            "\nThis was a dry run (-n): nothing was made. The same command with -p lists each job with its files and reason."
        )


class RunHandler(_Handler):
    """Draws stages and running jobs below what is printed.

    Args:
        console: the terminal.
        stages: rule -> stage.
        clock: now, in seconds since the epoch.
    """

    def __init__(
        self,
        console: Console,
        stages: Mapping[str, str],
        clock: Callable[[], float] = time.time,  # noqa: TID251 - records of logs have this time
    ) -> None:
        from rich.live import Live

        from emoadapt.terminal.drawing import draw_run

        super().__init__(console, stages)
        self.clock, self.ended = clock, False
        self.live = Live(
            get_renderable=lambda: draw_run(self.run, clock()), console=console, refresh_per_second=1,
            redirect_stdout=sys.stdout.isatty(), redirect_stderr=sys.stderr.isatty(),
        )  # fmt: skip

    def show(self, record: logging.LogRecord) -> None:
        """Count a record, draw, and say at once what failed."""
        job, event = self.run.take(record), getattr(record, "event", None)
        text = record.getMessage()
        if event == LogEvent.JOB_INFO and not self.ended:
            self.live.start()
        if event == LogEvent.JOB_ERROR:
            self._show_failure(job, record)
        elif getattr(record, "exception", None) == "RuleException" and (ending := _EXIT.search(text)):
            # The failed job is shown with its log; that it ended with 1 says no more.
            if not ending[1].endswith(" 1"):
                hint = ", as when memory runs out" if "SIGKILL" in ending[1] or ending[1].endswith(" 137") else ""
                self.print(f"the command of a job {ending[1]}{hint}", "red")
        else:
            if text.startswith(LAST) or (event == LogEvent.PROGRESS and _is_complete(record)):
                self.end()
            super().show(record)

    def _show_failure(self, job: Job | None, record: Any) -> None:
        from rich.text import Text

        from emoadapt.terminal.drawing import format_time
        from emoadapt.terminal.logs import read_last_lines

        name = record.rule_name
        if job is not None:
            wildcards = " ".join(f"{key}={value}" for key, value in job.wildcards.items())
            took = format_time(record.created - job.begun)
            name = f"{self.run.stages[job.rule]}, {job.rule} {wildcards} after {took}"
        said = [*filter(None, [record.rule_msg]), *read_last_lines(record.log, LINES), f"log: {', '.join(record.log)}"]
        # One print: each draws the stages again.
        shown = Text.assemble((f"failed: {name}", "bold red"), *(f"\n    {line}" for line in said))
        self.console.print(shown, soft_wrap=True)

    def end(self) -> None:
        """Stop drawing, and say once what was made and what failed."""
        if self.ended or not self.live.is_started:
            return
        from emoadapt.terminal.drawing import format_time

        self.ended = True
        self.live.stop()
        whole, failed = self.run.count_all(self.clock()), self.run.failed()
        self.print(
            f"\n{whole.done} of {whole.total} jobs done in {format_time(whole.seconds or 0)}"
            + (f", {len(failed)} failed:" if failed else "")
        )
        for job in failed:
            self.print(f"    {job.name}   log: {', '.join(job.logs)}", "red")

    def close(self) -> None:
        """Leave the terminal as it was; Snakemake closes handlers however it ends."""
        self.end()
        super().close()


def _is_complete(progress: Any) -> bool:
    return bool(progress.done == progress.total)
