"""Which lines of Snakemake's log reach a terminal, and that all of them reach a pipe."""

from __future__ import annotations

import io
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.common import LogEvent

from emoadapt.machine.interruptions import STOPPED, explain_interruptions
from emoadapt.terminal.handlers import OWN_HANDLER, DryRunHandler, RunHandler, show_on_terminal
from emoadapt.terminal.stages import Run

if TYPE_CHECKING:
    from conftest import Events, Record


class Terminal(io.StringIO):
    """What is taken for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, no_color=True, highlight=False)


def read(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def hand_over(stream: io.StringIO, **asked: object) -> list[logging.Handler]:
    """Handlers of a logger like Snakemake's afterwards."""
    logger = logging.Logger("test.terminal")
    plain = ColorizingTextHandler(stream=stream)
    plain.name = OWN_HANDLER
    logger.addHandler(plain)
    options = ["printshellcmds", "verbose", "debug_dag", "quiet", "dryrun", "nocolor"]
    show_on_terminal(logger, {"audio": "features"}, SimpleNamespace(**dict.fromkeys(options, False) | asked))
    return logger.handlers


def test_stages_are_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert [type(handler) for handler in hand_over(Terminal())] == [RunHandler]
    assert [type(handler) for handler in hand_over(Terminal(), dryrun=True)] == [DryRunHandler]
    assert [handler.name for handler in hand_over(io.StringIO())] == [OWN_HANDLER]
    monkeypatch.setenv("TERM", "dumb")
    assert [handler.name for handler in hand_over(Terminal())] == [OWN_HANDLER]


@pytest.mark.parametrize("option", ["printshellcmds", "verbose", "debug_dag", "quiet"])
def test_options_that_ask_for_lines_are_obeyed(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert [handler.name for handler in hand_over(Terminal(), **{option: True})] == [OWN_HANDLER]


def test_another_handler_of_the_user_stays() -> None:
    logger = logging.Logger("test.terminal")
    logger.addHandler(other := logging.StreamHandler())
    show_on_terminal(
        logger, {"audio": "features"}, SimpleNamespace(printshellcmds=False, verbose=False, debug_dag=False, quiet=None)
    )
    assert logger.handlers == [other]


def test_a_run_ends_with_its_counts(run: Run, console: Console, events: Events, record: Record) -> None:
    handler = RunHandler(console, run.stages, clock=lambda: 65.0)
    for each in (
        record("Building DAG of jobs..."), record("host: x", event=LogEvent.WORKFLOW_STARTED),
        record("Using shell: sh"), record("Job 3 has been submitted with SLURM jobid 7"),
        events.plan(audio=1), record("Select jobs to execute..."), events.begin(1, "audio", 5, "talks", "000"),
        record("[1/2] a word\nof a job"), events.finish(1, 60), events.progress(1, 1), record("Complete log(s): x.log"),
    ):  # fmt: skip
        handler.handle(each)
    handler.close()
    assert [line.rstrip() for line in read(console).splitlines() if line.strip()] == [
        "Building DAG of jobs...",
        "[1/2] a word",
        "of a job",
        "stage                    done       time  left",
        "audio  ━━━━━━━━━━━━━━━━   1/1    0:00:55",
        "all    ━━━━━━━━━━━━━━━━   1/1    0:01:00",
        "1 of 1 jobs done in 0:01:00",
        "Complete log(s): x.log",
    ]


def test_a_failed_job_is_shown_at_once_with_its_log(
    run: Run, console: Console, events: Events, record: Record, tmp_path: Path
) -> None:
    log = tmp_path / "train.log"
    log.write_text("\n".join(f"line {number}" for number in range(40)) + "\nemoadapt: the disk is full\n")
    handler = RunHandler(console, run.stages, clock=lambda: 20.0)
    handler.handle(events.plan(train=2, report=1))
    handler.handle(events.begin(1, "train", 0, "emotions", "tiny", log=[str(log)]))
    command = 'CalledProcessError in file "train.smk", line 3:\nCommand "python ..." returned non-zero exit status 1.'
    handler.handle(record(command, 12, logging.ERROR, event=LogEvent.ERROR, exception="RuleException"))
    handler.handle(events.fail(1, "train", 12, [str(log)], words="SLURM says: NODE_FAIL"))
    at_once = read(console).splitlines()
    assert at_once[0] == "failed: Stage 2, train w0=emotions w1=tiny after 0:00:12"
    assert at_once[1:4] == ["    SLURM says: NODE_FAIL", "    line 26", "    line 27"]
    assert at_once[-2:] == ["    emoadapt: the disk is full", f"    log: {log}"]
    assert "python ..." not in read(console)
    handler.close()
    assert f"0 of 3 jobs done in 0:00:20, 1 failed:\n    train emotions tiny   log: {log}" in read(console)


def test_a_signal_that_ended_a_job_is_named(run: Run, console: Console, record: Record) -> None:
    handler = RunHandler(console, run.stages)
    text = "CalledProcessError in file ...\nCommand '...' died with <Signals.SIGKILL: 9>."
    handler.handle(record(text, level=logging.ERROR, event=LogEvent.ERROR, exception="RuleException"))
    elsewhere = "the command `sbatch` returned non-zero exit status 1."
    handler.handle(record(elsewhere, level=logging.ERROR, event=LogEvent.ERROR, exception="WorkflowError"))
    assert read(console).splitlines() == [
        "the command of a job died with <Signals.SIGKILL: 9>, as when memory runs out", elsewhere,
    ]  # fmt: skip


def test_a_refused_run_draws_nothing(run: Run, console: Console, events: Events, record: Record) -> None:
    handler = RunHandler(console, run.stages)
    handler.handle(events.plan(train=2))
    handler.handle(record("WorkflowError: missing weights", level=logging.ERROR, event=LogEvent.ERROR))
    handler.close()
    assert read(console) == "WorkflowError: missing weights\n"


def test_a_dry_run_says_how_to_see_each_job(run: Run, console: Console, events: Events, record: Record) -> None:
    handler = DryRunHandler(console, run.stages)
    for each in (
        events.plan(audio=1), events.begin(1, "audio", 0, reason="Missing output files: x"), events.plan(audio=1),
        record("Reasons:\n    many"), record("This was a dry-run (flag -n)."),
    ):  # fmt: skip
        handler.handle(each)
    said = read(console).splitlines()
    assert [line.rstrip() for line in said[:3]] == ["stage  jobs  because", "audio     1  no output yet", "all       1"]
    assert "with -p lists each job" in said[-1] and len(said) == 5


def test_nothing_to_be_done_is_said(run: Run, console: Console, record: Record) -> None:
    DryRunHandler(console, run.stages).handle(record("Nothing to be done (all requested files are present)."))
    assert read(console).startswith("Nothing to be done")


@pytest.fixture
def logger(run: Run, console: Console) -> Iterator[logging.Logger]:
    before = signal.getsignal(signal.SIGINT)
    found = logging.Logger("test.interrupted")
    found.addHandler(RunHandler(console, run.stages, clock=lambda: 9.0))
    yield found
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_with_one_sentence(
    logger: logging.Logger, console: Console, events: Events, tmp_path: Path
) -> None:
    signal.signal(signal.SIGINT, lambda number, frame: None)
    explain_interruptions(logger, tmp_path)
    for each in (events.plan(train=1), events.begin(1, "train", 0, "emotions")):
        logger.handle(each)
    signal.raise_signal(signal.SIGINT)
    logger.handle(events.fail(1, "train", 8))
    logger.info("Complete log(s): x.log")
    logger.error("At least one job did not complete successfully.")
    assert "failed" not in read(console)
    assert read(console).splitlines()[-3:] == ["0 of 1 jobs done in 0:00:09", "Complete log(s): x.log", STOPPED]
