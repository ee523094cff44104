"""Worker processes: what crashes or hangs in one costs one row."""

from __future__ import annotations

import importlib
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emoadapt.errors import EmoadaptError, ModelError
from emoadapt.extraction import workers
from emoadapt.extraction.workers import ROWS_AHEAD, WorkerPool
from emoadapt.features.base import Context

CONTEXT = Context(Path("models"))
PATIENT = 300.0


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The extractors of `fake_extractors.py`, where workers find them too: they are given the parent's search path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("fake_extractors")


def make_rows(*orders: str, **more: Any) -> list[dict[str, Any]]:
    return [{"utterance_id": f"c/{i}", "value": i, "do": order, **more} for i, order in enumerate(orders)]


def run(extractor: type, rows: list[dict[str, Any]], n_workers: int = 1, stall_limit: float = PATIENT) -> list[dict]:
    """Results of rows; each must stand beside its row."""
    with WorkerPool(extractor, {"a": 1}, CONTEXT, n_workers, stall_limit) as pool:
        pairs = list(pool.run(iter([rows])))
    assert [row["utterance_id"] for row, _ in pairs] == [row["utterance_id"] for row in rows]
    return [result for _, result in pairs]


def test_rows_come_back_in_order_from_several_workers(fakes: ModuleType) -> None:
    payload = [bytes([i]) * size for i, size in enumerate([5_000_000, 10, 0, 70_000])]
    rows = make_rows(*["ok"] * 13)
    for row in rows:
        row["value"] = (row["value"], payload)
    results = run(fakes.Obedient, rows, n_workers=2)
    assert [result["value"] for result in results] == [(i, payload) for i in range(13)]
    assert len({result["pid"] for result in results}) == 2
    assert results[0]["config"] == {"a": 1}


def test_what_ends_a_worker_costs_one_row(
    fakes: ModuleType, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = make_rows("ok", "segfault", "ok", "exit", "clip error", "ok", "log")
    results = run(fakes.Obedient, rows)
    assert [result.get("value") for result in results] == [0, None, 2, None, None, 5, 6]
    assert [(i, r["status"], r["reason"]) for i, r in enumerate(results) if "status" in r] == [
        (1, "failed", "crashed: the worker process ended with signal SIGSEGV, twice"),
        (3, "failed", "crashed: the worker process ended with exit code 3, twice"),
        (4, "failed", "undecodable: made so"),
    ]
    assert len({result["pid"] for result in results if "pid" in result}) == 3
    printed = capfd.readouterr().err
    assert "a line from the worker" in printed
    assert "Segmentation fault" in printed and "fake_extractors.py" in printed


def test_a_row_killed_by_chance_is_computed_again(
    fakes: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = run(fakes.Obedient, make_rows("segfault once", "ok", mark=tmp_path / "mark"))
    assert [result["value"] for result in results] == [0, 1]
    assert "c/0: its worker process ended with signal SIGSEGV; trying once more" in caplog.text


def test_a_worker_that_hangs_is_ended(fakes: ModuleType) -> None:
    results = run(fakes.Obedient, make_rows("ok", "hang", "ok"), stall_limit=0.5)
    assert [result.get("value") for result in results] == [0, None, 2]
    assert results[1] == {"status": "failed", "reason": "stalled: no progress for 0.5 s"}


class _Clocked:
    """Stands for a worker at a long row; its counter moves when the test says so."""

    count_quiet = workers._Worker.count_quiet

    def __init__(self) -> None:
        self.ready, self.task = True, workers._Task({})
        self._beats = type("Counter", (), {"value": 0})()
        self._seen, self._quiet = 0, 0.0


def test_a_long_row_that_makes_progress_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is one during which the whole machine slept."""
    clock = itertools.count(0.0, 3.0)
    monkeypatch.setattr(workers.time, "monotonic", lambda: next(clock))
    pool = WorkerPool(object, None, CONTEXT, 1, stall_limit=10.0)
    worker = _Clocked()
    pool._workers.append(worker)
    ended: list[object] = []
    monkeypatch.setattr(pool, "_end_stalled", ended.append)
    for _ in range(20):
        worker._beats.value += 1
        pool._look()
    clock = itertools.count(5000.0, 3.0)
    for _ in range(3):
        pool._look()
    assert ended == []
    pool._look()
    assert ended == [worker]


def test_beats_reach_the_parent(fakes: ModuleType) -> None:
    with WorkerPool(fakes.Obedient, None, CONTEXT, 1, PATIENT) as pool:
        list(pool.run(iter([make_rows("beat", "ok", "beat")])))
        (worker,) = pool._workers
        assert worker._beats.value == 2


def test_few_rows_are_taken_ahead(fakes: ModuleType) -> None:
    taken = []

    def chunks() -> Iterator[list[dict[str, Any]]]:
        for row in make_rows(*["ok"] * 100):
            taken.append(row)
            yield [row]

    with WorkerPool(fakes.Obedient, None, CONTEXT, 1, PATIENT) as pool:
        for given, _ in enumerate(pool.run(chunks())):
            assert len(taken) <= given + ROWS_AHEAD
    assert given == 99


@pytest.mark.parametrize(
    ("order", "kind", "message"),
    [
        ("model error", ModelError, "weights are missing; fetch them"),
        ("disk full", OSError, "No space left on device"),
        ("unportable", RuntimeError, "Unportable: 1 odd"),
    ],
)
def test_a_fault_of_the_machine_stops_the_job(
    fakes: ModuleType, order: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        run(fakes.Obedient, make_rows("ok", order, "ok"))
    assert "fake_extractors.py" in "".join(caught.value.__notes__)


def test_missing_weights_are_named_once(fakes: ModuleType) -> None:
    with pytest.raises(ModelError) as caught:
        run(fakes.Weightless, make_rows("ok", "ok"), n_workers=2)
    assert str(caught.value) == "weights are missing; fetch them"


def test_workers_that_cannot_start_condemn_no_clip(fakes: ModuleType) -> None:
    with pytest.raises(
        EmoadaptError, match=r"3 worker processes of fake_extractors in a row ended with exit code 7 before"
    ):
        run(fakes.Stillborn, make_rows("ok", "ok"))


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from fake_extractors import Obedient
from emoadapt.features.base import Context
from emoadapt.extraction.workers import WorkerPool
if __name__ == "__main__":
    with WorkerPool(Obedient, None, Context(Path()), 1, 300.0) as pool:
        list(pool.run(iter([[{"do": "hang", "value": 0}]])))
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """The worker holds the other end of the pipe: its end is the end of the file."""
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "hanging\n"
        parent.kill()
        assert parent.stdout.read() == ""


def stream(rows: list[dict[str, Any]], extractor: type, n_workers: int = 1, stall_limit: float = PATIENT) -> list:
    with WorkerPool(extractor, {}, CONTEXT, n_workers, stall_limit) as pool:
        return [
            (row["utterance_id"], part["reason"] if isinstance(part, dict) else part[0])
            for row, part in pool.stream(iter(rows))
        ]


def test_parts_come_in_the_order_of_the_rows_from_several_workers(fakes: ModuleType) -> None:
    """More parts than are taken in ahead, each larger than a pipe holds: workers that are ahead wait."""
    rows = make_rows(*["ok"] * 4, size=100_000)
    counts = [1, 9, 0, 12]
    rows = [row | {"value": count} for row, count in zip(rows, counts, strict=True)]
    expected = [(f"c/{i}", part) for i, count in enumerate(counts) for part in range(count)]
    assert stream(rows, fakes.Streaming, n_workers=2) == expected


def test_parts_before_a_crash_are_kept_and_not_repeated(fakes: ModuleType, tmp_path: Path) -> None:
    rows = make_rows("segfault", "ok", "segfault once", mark=tmp_path / "mark")
    found = stream([row | {"value": 3} for row in rows], fakes.Streaming)
    crashed = "crashed: the worker process ended with signal SIGSEGV, twice"
    assert found == [
        ("c/0", 0), ("c/0", 1), ("c/0", crashed),
        *[(name, part) for name in ("c/1", "c/2") for part in range(3)],
    ]  # fmt: skip


def test_stall_comes_behind_the_parts_before(fakes: ModuleType) -> None:
    found = stream([row | {"value": 2} for row in make_rows("hang", "ok")], fakes.Streaming, stall_limit=0.5)
    assert found == [("c/0", 0), ("c/0", "stalled: no progress for 0.5 s"), ("c/1", 0), ("c/1", 1)]


def test_each_worker_has_a_context_of_its_own(fakes: ModuleType) -> None:
    contexts = [Context(Path("models"), device) for device in ("cuda:0", "cuda:1")]
    with WorkerPool(fakes.Placed, {}, contexts, 2, PATIENT) as pool:
        found = [result["device"] for _, result in pool.run(iter([make_rows(*["ok"] * 4)]))]
    assert set(found) == {"cuda:0", "cuda:1"}
