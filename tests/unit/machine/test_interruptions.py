"""What a person reads in place of Snakemake's words."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt.machine.interruptions import STOPPED, explain_interruptions

RUN = """
import pathlib, sys
from emoadapt.machine.run import begin_run, enter_folder
enter_folder(pathlib.Path(sys.argv[1]))
begin_run(pathlib.Path(sys.argv[1]), "small")
print(flush=True)
sys.stdin.read()
"""
LOCKED = "Error: Directory cannot be locked. Please make sure ... with the --unlock argument."


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    before = signal.getsignal(signal.SIGINT)
    found = logging.getLogger("test.interruptions")
    yield found
    found.filters.clear()
    signal.signal(signal.SIGINT, before)


def test_the_running_study_is_named(tmp_path: Path, logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    explain_interruptions(logger, tmp_path)
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stdout.readline()
        logger.error(LOCKED)
        said = caplog.messages[-1]
        assert f"study small is running in {tmp_path} since " in said and f"(process {run.pid} on " in said
        assert "Wait until it ends, or work in another folder" in said and "--unlock" not in said
        run.kill()
    logger.error(LOCKED)
    assert caplog.messages[-1] == LOCKED, "nobody is known to run"


def test_ctrl_c_ends_with_one_sentence(
    tmp_path: Path, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Symptom: each job that Ctrl-C ended was shown as an error, and nothing said that all could be continued."""
    # What is started in the background of a shell ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    explain_interruptions(logger, tmp_path)
    logger.error("Error in rule x")
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    logger.error("Error in rule y")
    logger.warning("Terminating")
    logger.error("At least one job did not complete successfully.")
    assert caplog.messages == ["Error in rule x", "Terminating", STOPPED]
