"""Sentences for a run that was stopped, or whose folder another run holds."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType

from emoadapt.machine.run import describe_run

STOPPED = "stopped; the same command continues"
LOCKED = "Directory cannot be locked"
FAILED = "At least one job did not complete successfully"


def explain_interruptions(logger: logging.Logger, folder: Path) -> None:
    """Log one sentence for Ctrl-C, and one for a folder that another run has locked.

    Args:
        logger: that of Snakemake.
        folder: the working directory.
    """
    words = _Words(folder)
    logger.addFilter(words)
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: FrameType | None) -> None:
            words.stopped = True
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGINT, stop)


class _Words(logging.Filter):
    """Drops the errors of jobs that Ctrl-C ended, and replaces Snakemake's last sentence."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.stopped = False

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if LOCKED in text and (sentence := describe_run(self.folder)):
            record.msg, record.args = sentence, ()
        if self.stopped and record.levelno >= logging.ERROR:
            if FAILED not in text:
                return False
            record.msg, record.args = STOPPED, ()
        return True
