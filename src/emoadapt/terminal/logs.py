"""Lines of the logs of jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

TAIL = 16384
"""Bytes read from the end of a log."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OTHER_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TIME = re.compile(r"^\d\d:\d\d:\d\d ")
_SUBJECT = re.compile(r"^\S*[./]\S*: ")
"""The run or file that a line is about, which the name of the job shows as well."""


def read_last_lines(logs: Sequence[str], count: int) -> list[str]:
    """Read the last lines of each log that exists, without blank ones, colours and control characters."""
    return [line for log in logs for line in _read_tail(Path(log))[-count:]]


def read_newest_line(logs: Sequence[str]) -> str:
    """Read the last line of the logs, without its time and subject; empty if there is none."""
    lines = read_last_lines(logs, 1)
    return _SUBJECT.sub("", _TIME.sub("", lines[-1])) if lines else ""


def _read_tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            start = max(file.seek(0, 2) - TAIL, 0)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    # A bar rewrites its line after a carriage return. The first line may be cut.
    lines = [_clean(line) for line in re.split(r"[\r\n]", text)[start > 0 :]]
    return [line for line in lines if line.strip()]


def _clean(line: str) -> str:
    return _OTHER_CONTROLS.sub("", _COLOURS.sub("", line)).rstrip()
