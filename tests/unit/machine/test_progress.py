"""A bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from emoadapt.machine.progress import Progress, _format_time


class Terminal(io.StringIO):
    """What rich takes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with Progress("audio", 4) as progress:
        for status in ("ok", "ok", "failed"):
            progress.add({"status": status, "reason": None if status == "ok" else "x: y"}, 1800.0)
        progress.report()
        assert caplog.text == ""
    shown = screen.getvalue()
    assert "audio" in shown and "3/4" in shown and "1.5 h of media, 1 set aside" in shown
    assert "audio: 3 clips in" in caplog.text


def test_hours_that_are_not_known_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Progress("faces", 2) as progress:
        progress.report()
        progress.add({"status": "ok", "reason": None}, 0.0)
        progress.report()
    assert "1 of 2 clips" in caplog.text and "0 set aside" in caplog.text
    assert "of media" not in caplog.text and "noted" not in caplog.text


def test_a_job_that_fails_has_no_totals(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(OSError, match="full"), Progress("audio", 2) as progress:
        progress.add({"status": "ok", "reason": None}, 1.0)
        raise OSError("full")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5300, "88 min"), (5400, "1 h 30 min"), (12000, "3 h 20 min")]
)  # fmt: skip
def test_times_are_formatted(seconds: float, text: str) -> None:
    assert _format_time(seconds) == text
