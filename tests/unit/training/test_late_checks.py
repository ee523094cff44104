"""Checks of numbers that a GPU is still computing. A device that is slow stands in for one here."""

import math

import pytest
import torch

from emoadapt.errors import TrainingError
from emoadapt.training import trainer
from emoadapt.training.late_checks import Fetched, LateChecks
from emoadapt.training.trainer import Trainer


class Busy:
    """An event of a device that has not come to it yet."""

    def __init__(self) -> None:
        self.waited = 0

    def synchronize(self) -> None:
        self.waited += 1


def make_late(values: torch.Tensor) -> Fetched:
    fetched = Fetched(values)
    fetched._copied = Busy()
    return fetched


def test_numbers_of_a_cpu_are_checked_at_once() -> None:
    done: list[int] = []
    checks = LateChecks()
    checks.add(Fetched(torch.ones(2)), lambda: done.append(1))
    assert done == [1]


def test_numbers_of_a_gpu_are_checked_when_settled_in_their_order() -> None:
    done: list[int] = []
    checks, late = LateChecks(), make_late(torch.ones(2))
    busy = late._copied
    for number in range(2):
        checks.add(late, lambda number=number: done.append(number))
    assert done == [] and busy.waited == 0
    checks.settle()
    assert done == [0, 1]
    assert late.read() == [1.0, 1.0] and busy.waited == 1 and late.is_there
    checks.settle()
    assert done == [0, 1]


@pytest.fixture
def always_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """All numbers come late, as from a GPU."""
    usual = Fetched.__init__

    def begin(self: Fetched, values: torch.Tensor) -> None:
        usual(self, values)
        self._copied = Busy()

    monkeypatch.setattr(Fetched, "__init__", begin)


def test_late_checks_change_no_result(work, request: pytest.FixtureRequest) -> None:
    work.write_labelled()
    at_once = work.train(name="at_once")
    request.getfixturevalue("always_late")
    late = work.train(name="late")
    assert all(late[table].equals(at_once[table]) for table in at_once)


@pytest.mark.parametrize("step", [2, 4])
def test_gradient_that_is_not_finite_is_found_before_anything_is_kept(
    work, always_late, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """In the middle of an epoch, and in its last step."""
    work.write_labelled()
    work.tune(epochs=3, batch_size=3)
    considered: list[int] = []
    seen: list[int] = []

    def spoil(parameters, *args, **keywords) -> torch.Tensor:
        seen.append(len(seen))
        return torch.tensor(math.inf if len(seen) == step else 1.0)

    consider = trainer.BestWeights.consider
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", spoil)
    monkeypatch.setattr(
        trainer.BestWeights, "consider", lambda self, *args: (considered.append(1), consider(self, *args))[1]
    )
    states: list[int] = []
    collect = Trainer.collect_state
    monkeypatch.setattr(Trainer, "collect_state", lambda *args: (collect(*args), states.append(1))[0])
    with pytest.raises(TrainingError, match="the gradient is not finite on the clips acted/"):
        work.train()
    assert not considered and not states
