"""Signals that end a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from emoadapt.training.interruption import SIGNALS, Notice


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_job_keeps_its_state_on_signals_that_end_it(number: signal.Signals) -> None:
    """Symptom: a terminal that was closed ended jobs without their state."""
    signal.signal(number, signal.SIG_DFL)
    notice = Notice()
    with notice.listening():
        os.kill(os.getpid(), number)
        assert notice.name == number.name
    assert signal.getsignal(number) == signal.SIG_DFL


def test_nohup_is_respected() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    notice = Notice()
    with notice.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not notice.name
