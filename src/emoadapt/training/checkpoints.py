"""The state of a run on disk: written after each epoch, every few minutes, and when the cluster ends the job.

A run that goes on from it ends with the weights, bit for bit, of one that was never ended: on a CPU, with as many threads and
processes. The name of a state says nothing of threads, processes or device, so that it can be taken to another machine.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from emoadapt.data.batching import find_order
from emoadapt.data.ranks import add_up, find_rank, share
from emoadapt.errors import TrainingError
from emoadapt.flow.parts import force_to_disk
from emoadapt.training.processes import SIGNALS
from emoadapt.training.states import is_whole

logger = logging.getLogger(__name__)


class Interrupted(TrainingError):
    """The cluster ended a run; starting it again goes on from the state that is kept, if it had come to one."""


class Notice:
    """Takes notice of `SIGNALS` instead of dying of them; the last is in `name`."""

    def __init__(self) -> None:
        self.name = ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen, and leave the handlers as they were."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            if _in_main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals from whoever has them; only the main thread can."""
        if _in_main_thread():
            for number in SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, _: Any) -> None:
        self.name = signal.Signals(number).name


class Checkpoint(Callback):
    """Writes the whole state of a run, so that a killed run can go on.

    Within an epoch it is written between two steps of the optimiser, as gradients are no part of it, and only where the
    batches come from `BucketedBatches`, which can begin in the middle. Of the last batch of an epoch until the end of the
    evaluation that follows nothing is written: whoever ends the run there waits for that, or loses it. So it is in the test
    that follows training; an evaluation before training has nothing to lose, and ends with its batch.

    Args:
        path: file, replaced in one step.
        minutes: how often it is written within an epoch; None = only when the job is ended.
        sparing: at the end of an epoch it is written no more often either, so that a short run never pays for it.
        notice: that the job has of signals, if it has more runs than this.
    """

    def __init__(
        self, path: Path, minutes: float | None = 10.0, *, sparing: bool = False, notice: Notice | None = None
    ) -> None:
        self.path = path
        self.sparing = sparing
        self.seconds = float("inf") if minutes is None else 60 * minutes
        self.notice = notice or Notice()
        self._written = time.monotonic()

    def find(self) -> Path | None:
        """The state that is there, the same for all processes; one that cannot be read is deleted, and the run begins anew."""
        whole = False
        if find_rank() == 0 and self.path.is_file():
            whole = is_whole(self.path)
            if not whole:
                logger.warning("%s was damaged, and is deleted: this run begins anew", self.path)
                self.path.unlink()
        return self.path if share(whole) else None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals back from Lightning, which would end the run wherever it is."""
        self._written = time.monotonic()
        self.notice.listen()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The same, as Lightning takes them for every evaluation."""
        self.notice.listen()

    def on_test_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The same."""
        self.notice.listen()

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """End the job in an evaluation before training.

        Raises:
            Interrupted: it was told to end.
        """
        if trainer.state.fn == "validate":
            self._end_before_training(pl_module)

    def on_test_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any) -> None:
        """The same in a test before training.

        Raises:
            Interrupted: the job was told to end.
        """
        if not pl_module.history:
            self._end_before_training(pl_module)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the state if it is time to, or if the job is to end; then it ends.

        Raises:
            Interrupted: the job was told to end.
        """
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches or done == trainer.num_training_batches:
            return
        due = time.monotonic() - self._written > self.seconds
        # Signals and clocks differ between processes, and all must write together.
        ended, due = add_up(
            torch.tensor([bool(self.notice.name), due], dtype=torch.int, device=pl_module.device)
        ).tolist()
        if not ended and not due:
            return
        resumable = find_order(trainer.train_dataloader) is not None
        if resumable:
            self._write(trainer)
        if ended:
            where = f"in epoch {trainer.current_epoch + 1} after batch {done} of {trainer.num_training_batches}"
            self._end(pl_module, where if resumable else f"{where}, of which this epoch is lost")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the state; after the last epoch it is of no more use.

        Nor where patience ends: a run that is killed then repeats this epoch and ends with it.

        Raises:
            Interrupted: the job was told to end, and this was not the last epoch.
        """
        if trainer.current_epoch + 1 < trainer.max_epochs and not trainer.should_stop:
            due = not self.sparing or time.monotonic() - self._written > self.seconds
            ended, due = add_up(
                torch.tensor([bool(self.notice.name), due], dtype=torch.int, device=pl_module.device)
            ).tolist()
            if ended or due:
                self._write(trainer)
            if ended:
                self._end(pl_module, f"after epoch {trainer.current_epoch + 1}")

    def _end_before_training(self, learner: Any) -> None:
        if add_up(torch.tensor(bool(self.notice.name), dtype=torch.int, device=learner.device)):
            self._end(learner, "before training")

    def _write(self, trainer: lightning.Trainer) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        trainer.save_checkpoint(part)
        if find_rank() == 0:
            force_to_disk(part)
            part.replace(self.path)
        self._written = time.monotonic()

    def _end(self, learner: Any, where: str) -> None:
        raise Interrupted(explain_end(learner.curve.run, self.notice.name, where, self.path))


def explain_end(run: str, signal_name: str, where: str, state: Path | None) -> str:
    """One line: which run was ended by what, and what the next start does."""
    said = signal_name or "a signal to another process"
    goes_on = f"goes on from {state}" if state is not None and state.is_file() else "begins this run anew"
    return f"{run}: ended by {said} {where}; started again, it {goes_on}"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
