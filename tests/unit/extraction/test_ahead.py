"""One stage ahead of the next, in a thread of its own."""

import threading

import pytest

from emoadapt.extraction.ahead import run_ahead

PATIENCE = 60
"""Seconds after which a test counts as deadlocked; none waits for it otherwise."""


def _finish(work):
    """What `work` returns, or raises; fails where it never ends."""
    outcome = {}

    def run():
        try:
            outcome["value"] = work()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "deadlock"
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def _at_work() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


class Source:
    """Counts up; knows how far it got, in which thread, and whether it was closed."""

    def __init__(self, stop: int, error: Exception | None = None, cleanup_error: Exception | None = None) -> None:
        self.given, self.closed, self.threads = 0, threading.Event(), set()
        self.stop, self.error, self.cleanup_error = stop, error, cleanup_error

    def __iter__(self):
        return self.items()

    def items(self):
        try:
            while self.given < self.stop:
                self.threads.add(threading.get_ident())
                self.given += 1
                yield self.given - 1
            if self.error:
                raise self.error
        finally:
            self.closed.set()
            if self.cleanup_error:
                raise self.cleanup_error


@pytest.mark.parametrize("depth", [1, 2, 7, 1000])
def test_items_keep_their_order_and_come_from_another_thread(depth):
    source = Source(500)
    assert _finish(lambda: list(run_ahead(source.items(), depth))) == list(range(500))
    assert source.closed.is_set() and not _at_work()
    assert len(source.threads) == 1 and threading.get_ident() not in source.threads


def test_no_item_is_none_and_none_is_an_item():
    assert _finish(lambda: list(run_ahead((item for item in ()), 1))) == []
    assert _finish(lambda: list(run_ahead((item for item in (None, (), None)), 1))) == [None, (), None]


@pytest.mark.parametrize("depth", [1, 3])
def test_an_error_comes_after_the_items_before_it(depth):
    source, got = Source(5, error=OSError("no more")), []

    def take():
        for item in run_ahead(source.items(), depth):
            got.append(item)

    with pytest.raises(OSError, match="no more"):
        _finish(take)
    assert got == [0, 1, 2, 3, 4]
    assert not _at_work()


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("taken", [0, 1, 2, 5])
def test_closing_early_ends_the_thread_and_closes_the_source(depth, taken):
    source = Source(10**9)

    def take_some():
        items = run_ahead(source.items(), depth)
        got = [next(items) for _ in range(taken)]
        items.close()
        return got

    assert _finish(take_some) == list(range(taken))
    assert not _at_work()
    # One that was never asked never starts; otherwise: those taken, a full queue, and the one or two at hand when it stops.
    assert source.closed.is_set() == (taken > 0)
    assert source.given <= (taken + depth + 2 if taken else 0)


def test_closing_at_the_very_end_and_twice():
    source = Source(3)

    def take_all():
        items = run_ahead(source.items(), 1)
        got = [next(items) for _ in range(3)]
        items.close()
        items.close()
        return got

    assert _finish(take_all) == [0, 1, 2]
    assert source.closed.is_set() and not _at_work()


def test_no_more_than_the_depth_is_ready_ahead_of_use():
    """At most: those taken, a full queue, and one that waits for a place."""
    source = Source(200)

    def take():
        return [source.given - item for item in run_ahead(source.items(), 4)]

    assert max(_finish(take)) <= 1 + 4 + 1


def test_the_next_item_is_made_while_this_one_is_used():
    """The source waits until the first item is in use: one after the other, this would never end."""
    in_use, made = threading.Event(), threading.Event()

    def items():
        yield "first"
        assert in_use.wait(PATIENCE)
        made.set()
        yield "second"

    def take():
        for item in run_ahead(items(), 1):
            if item == "first":
                in_use.set()
                assert made.wait(PATIENCE)
        return True

    assert _finish(take)


def test_stages_nest_and_end_together():
    source = Source(10**9)

    def take_some():
        doubled = (2 * item for item in run_ahead(source.items(), 1))
        items = run_ahead(doubled, 1)
        got = [next(items) for _ in range(4)]
        items.close()
        del doubled
        return got

    assert _finish(take_some) == [0, 2, 4, 6]
    assert source.closed.is_set() and not _at_work()


def test_a_source_that_fails_while_it_is_closed_does_not_hang_its_user():
    source = Source(10**9, cleanup_error=OSError("cannot be closed"))

    def take_one():
        items = run_ahead(source.items(), 1)
        first = next(items)
        items.close()
        return first

    assert _finish(take_one) == 0
    assert source.closed.is_set() and not _at_work()
