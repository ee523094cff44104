"""Checkpoints: after each epoch, every few minutes, and on SIGTERM.

A run that continues from it ends with the weights, bit for bit, of one that was never ended: on a CPU, with as many threads and
processes. The name of a state says nothing of threads, processes or device, so that it can be taken to another machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emoadapt.machine.ranks import add_up, count_ranks, find_rank, share
from emoadapt.machine.run import refuse_ended_run
from emoadapt.storage.files import force_to_disk
from emoadapt.training.interruption import Interrupted, Notice
from emoadapt.training.states import is_whole

if TYPE_CHECKING:
    from emoadapt.training.learner import Learner

logger = logging.getLogger(__name__)


class Checkpoint:
    """Writes the whole state of a run, so that a killed run can continue.

    Within an epoch it is written between two steps of the optimiser, as gradients are no part of it, and only where the
    batches come from `BucketedBatches`, which can begin in the middle. From the last batch of an epoch until the end of the
    evaluation that follows nothing is written: a signal takes effect after it. So it does in the test that follows training; an
    evaluation before training has nothing to lose, and ends with its batch.

    Args:
        path: file, replaced in one step; None = no state is kept, and signals end the run all the same.
        minutes: how often it is written within an epoch; None = only when the job is ended.
        sparing: at the end of an epoch it is written no more often either, so that a short run never pays for it.
        notice: that the job has of signals, if it has more runs than this.
    """

    def __init__(
        self, path: Path | None, minutes: float | None = 10.0, *, sparing: bool = False, notice: Notice | None = None
    ) -> None:
        self.path = path
        self.sparing = sparing
        self.seconds = float("inf") if minutes is None else 60 * minutes
        self.notice = notice or Notice()
        self._written = time.monotonic()

    def find(self) -> Path | None:
        """The checkpoint, the same for all processes, or None; a damaged one is deleted."""
        self._written = time.monotonic()
        if self.path is None:
            return None
        whole = False
        if find_rank() == 0 and self.path.is_file():
            whole = is_whole(self.path)
            if not whole:
                logger.warning("%s was damaged, and is deleted: this run begins anew", self.path)
                self.path.unlink()
        return self.path if share(whole) else None

    def end_before_training(self, learner: Learner) -> None:
        """End the job in an evaluation before training.

        Raises:
            Interrupted: the job was asked to end.
        """
        ended, _ = self._agree(learner, False)
        if ended:
            self._end(learner, "before training")

    def end_step(
        self, learner: Learner, collect_state: Callable[[], dict[str, Any]], n_batches: int, *, resumable: bool
    ) -> None:
        """Write the state within an epoch if it is due or the job is to end, and end the job.

        Args:
            learner: of the run.
            collect_state: gives all that the run needs to continue.
            n_batches: of an epoch.
            resumable: whether the epoch can be continued in its middle.

        Raises:
            Interrupted: the job was asked to end.
        """
        ended, due = self._agree(learner, time.monotonic() - self._written > self.seconds)
        if (ended or due) and resumable:
            self._write(collect_state)
        if ended:
            where = f"in epoch {learner.position.epoch + 1} after batch {learner.position.batch} of {n_batches}"
            self._end(learner, where if resumable else f"{where}, of which this epoch is lost")

    def end_epoch(self, learner: Learner, collect_state: Callable[[], dict[str, Any]]) -> None:
        """Write the state after an epoch that was not the last.

        Args:
            learner: of the run.
            collect_state: gives all that the run needs to continue.

        Raises:
            Interrupted: the job was asked to end.
        """
        ended, due = self._agree(learner, not self.sparing or time.monotonic() - self._written > self.seconds)
        if ended or due:
            self._write(collect_state)
        if ended:
            self._end(learner, f"after epoch {learner.position.epoch}")

    def _agree(self, learner: Learner, due: bool) -> tuple[bool, bool]:
        """Whether the run is to end, and whether a state is due: signals and clocks differ between processes."""
        if count_ranks() == 1:
            # Without a tensor on the GPU, which would have to be waited for at every step.
            return bool(self.notice.name), due
        own = torch.tensor([bool(self.notice.name), due], dtype=torch.int, device=learner.device)
        ended, due = add_up(own).tolist()
        return bool(ended), bool(due)

    def _write(self, collect_state: Callable[[], dict[str, Any]]) -> None:
        if self.path is not None and find_rank() == 0:
            part = self.path.with_name(f"{self.path.name}.part")
            torch.save(collect_state(), part)
            force_to_disk(part)
            refuse_ended_run(self.path)
            part.replace(self.path)
        # The others wait: one that ended with the job's signal would take the one that writes along.
        share(True)
        self._written = time.monotonic()

    def _end(self, learner: Learner, where: str) -> None:
        raise Interrupted(explain_end(learner.curve.run, self.notice.name, where, self.path))


def explain_end(run: str, signal_name: str, where: str, state: Path | None) -> str:
    """One line: which run was ended by what, and what the next start does."""
    said = signal_name or "a signal to another process"
    then = f"continues from {state}" if state is not None and state.is_file() else "begins this run anew"
    return f"{run}: ended by {said} {where}; started again, it {then}"
