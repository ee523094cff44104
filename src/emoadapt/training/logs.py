"""Logs of a running training: a CSV file, TensorBoard.

They are no outputs of a job: Snakemake neither waits for them nor deletes them, and results do not depend on them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.errors import TrainingError, explain_missing_library
from emoadapt.machine.ranks import find_rank
from emoadapt.storage.spreadsheets import CsvWriter
from emoadapt.training.watchers import Watcher

if TYPE_CHECKING:
    import torch

    from emoadapt.training.learner import Learner

LOGS = Path("logs", "training")
"""Folder with one folder per run, below that in which Snakemake runs."""

STEPS = 10
"""Steps of the optimiser from one row of a batch's loss to the next."""

FIELDS = ("step", "epoch", "part", "metric", "value")


class TrainingLog(Watcher):
    """Writes what the curve holds after each epoch, and the loss and learning rate of every `STEPS`th step.

    A run that continues from a checkpoint continues its logs; rows of later steps are removed.

    Args:
        kinds: `csv` (`metrics.csv`), `tensorboard` (an event file).
        folder: of all runs.

    Raises:
        TrainingError: the library that writes TensorBoard's files is not installed.
    """

    def __init__(self, kinds: Sequence[str], folder: Path = LOGS) -> None:
        self.kinds, self.folder = tuple(kinds), folder
        if "tensorboard" in kinds:
            try:
                import tensorboardX  # noqa: F401
            except ImportError as error:
                raise TrainingError(f"`logs: [tensorboard]`: {explain_missing_library(error) or error}") from error
        self._table: Path | None = None
        self._events: Any = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._rows_seen = 0

    def begin_training(self, learner: Learner, optimizer: torch.optim.Optimizer, n_batches: int) -> None:
        """Begin, or continue behind the step that a checkpoint was written at."""
        self._learner, self._optimizer, self._n_batches = learner, optimizer, n_batches
        step, folder = learner.position.step, self.folder / learner.curve.run
        folder.mkdir(parents=True, exist_ok=True)
        if "csv" in self.kinds:
            self._table = folder / "metrics.csv"
            _cut(self._table, step)
        if "tensorboard" in self.kinds:
            from tensorboardX import SummaryWriter

            if step == 0:
                for old in folder.glob("events.out.tfevents.*"):
                    old.unlink()
            self._events = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        self._rows_seen = len(learner.curve.rows) if step else 0
        self._write_curve()

    def end_batch(self) -> None:
        """Write the loss of the batch after every `STEPS`th step."""
        learner, position = self._learner, self._learner.position
        stepped = position.batch % learner.settings.accumulate == 0 or position.batch == self._n_batches
        if stepped and self._optimizer is not None and position.step % STEPS == 0:
            values = learner.last.losses | {"learning_rate": self._optimizer.param_groups[0]["lr"]}
            self._write([{"epoch": position.epoch + 1, "part": "step"} | _name(*item) for item in values.items()])

    def end_evaluation(self) -> None:
        """Write what the epoch has added to the curve."""
        self._write_curve()

    def close(self) -> None:
        """Close the event file, and forget the optimiser, whose state takes twice the memory of the weights."""
        self._optimizer = None
        if self._events is not None:
            self._events.close()
            self._events = None

    def _write_curve(self) -> None:
        rows = self._learner.curve.rows[self._rows_seen :]
        self._rows_seen = len(self._learner.curve.rows)
        self._write(rows)

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        step = self._learner.position.step
        if self._table is not None:
            new = not self._table.exists()
            with self._table.open("a", newline="", encoding="utf-8") as file:
                writer = CsvWriter(file, FIELDS, ignore_others=True)
                if new:
                    writer.write_header()
                for row in rows:
                    writer.write_row({"step": step, **row})
        if self._events is not None:
            for row in rows:
                self._events.add_scalar(f"{row['part']}/{row['metric']}", row["value"], step)
            self._events.flush()


def open_logs(kinds: Sequence[str]) -> list[TrainingLog]:
    """The log of a run, where one is wanted; of several processes the first writes it."""
    log = [TrainingLog(kinds)] if kinds else []
    return log if find_rank() == 0 else []


def _name(metric: str, value: float) -> dict[str, Any]:
    return {"metric": metric, "value": value}


def _cut(table: Path, step: int) -> None:
    """Keep the rows up to a step; at step 0 none, as the run begins."""
    if not table.exists():
        return
    if step == 0:
        table.unlink()
        return
    with table.open(newline="", encoding="utf-8") as file:
        # A process that was killed may have left half a line.
        kept = [row for row in csv.DictReader(file) if row["value"] and int(row["step"]) <= step]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file, FIELDS, ignore_others=True)
        writer.write_header()
        for row in kept:
            writer.write_row(row)
