"""Logs and progress bars of a training. Results do not depend on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emoadapt.machine.progress import make_bar

if TYPE_CHECKING:
    import torch

    from emoadapt.training.learner import Learner


class Watcher:
    """Methods that a trainer calls at each step of a training; here they do nothing."""

    def begin_training(self, learner: Learner, optimizer: torch.optim.Optimizer, n_batches: int) -> None:
        """Training begins, or continues, at `learner.position`; an epoch has `n_batches`."""

    def begin_epoch(self) -> None:
        """An epoch begins, or continues in its middle."""

    def begin_batch(self) -> None:
        """A batch of training begins."""

    def end_batch(self) -> None:
        """A batch of training is done; `learner.position` counts it."""

    def end_evaluation(self) -> None:
        """The evaluation after an epoch is done."""

    def end_epoch(self) -> None:
        """An epoch that was not the last is done, and its checkpoint written where one was due."""

    def begin_test_batch(self) -> None:
        """A batch of a test begins."""

    def close(self) -> None:
        """Training is over, however it ended."""


class ProgressBar(Watcher):
    """A bar on a terminal, an epoch long."""

    def begin_training(self, learner: Learner, optimizer: torch.optim.Optimizer, n_batches: int) -> None:
        """Draw the bar."""
        self._learner, self._bar = learner, make_bar()
        self._task: Any = self._bar.add_task(learner.curve.run, total=n_batches, state="")
        self._bar.start()

    def begin_epoch(self) -> None:
        """Begin anew."""
        position, epochs = self._learner.position, self._learner.epochs
        name = f"{self._learner.curve.run}, epoch {position.epoch + 1} of {epochs}"
        self._bar.reset(self._task, description=name, completed=position.batch)

    def end_batch(self) -> None:
        """Move on."""
        learner = self._learner
        self._bar.update(self._task, completed=learner.position.batch, state=f"loss {learner.last.total:.3f}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()
