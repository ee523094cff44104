"""Finished runs of a Stage-2 job that was killed.

Of the run in which it was killed there is the checkpoint of `emoadapt.training.checkpoints`, in the same folder, whose name is
that of `emoadapt.training.states`: beside the job's models.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from emoadapt.errors import DataError
from emoadapt.machine.ranks import find_rank, gather, share
from emoadapt.machine.run import refuse_ended_run
from emoadapt.storage.files import replace_folder
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training.interruption import Interrupted, Notice
from emoadapt.training.runs import RunClips, RunTables
from emoadapt.training.states import name_state, remove_others

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob

logger = logging.getLogger(__name__)

MODELS = "models"
"""Folder of what `Kept` keeps of runs, beside those of the runs."""

SECONDS_BETWEEN_SAVES = 60.0
"""Least time between two writes of finished runs: their tables, and what else is kept of them."""


class Kept(Protocol):
    """What besides tables must outlive a killed job."""

    def save(self, folder: Path) -> None:
        """Put on disk what has changed since the last time."""

    def load(self, folder: Path) -> bool:
        """Take up again what is there; False if it is damaged."""


class UnfinishedJob:
    """The runs of a Stage-2 job that are done, on disk for when it is killed.

    Of several processes the first writes; what was there before is looked up once, so that all do the same runs.

    Args:
        folder: of this job (`place_job`); made if it is missing.
        tables: of its runs.
        kept: what else is kept of them, if anything is.
        notice: that the job has of signals; `complete` listens.
    """

    def __init__(self, folder: Path, tables: RunTables, kept: Kept | None = None, notice: Notice | None = None) -> None:
        self.folder, self.tables, self.kept, self.notice = folder, tables, kept, notice or Notice()
        self._waiting: list[Run] = []
        self._saved = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        if find_rank() == 0 and kept and not kept.load(folder):
            logger.warning("what is kept in %s was damaged, and is deleted: this job begins anew", folder)
            shutil.rmtree(folder)
            folder.mkdir()
        self._kept_tables = self._read_runs() if find_rank() == 0 else {}
        self._done = share(set(self._kept_tables))

    def complete(self, runs: Sequence[Run], perform: Callable[[Run, RunClips], None]) -> None:
        """Perform the runs that are not done yet.

        Args:
            runs: all runs of the job.
            perform: trains and tests a run, and adds it to the tables.

        Raises:
            Interrupted: the job was asked to end; what is done is on disk.
            TrainingError: a part of a run has no clips.
        """
        with self.notice.listening(), self._saved_on_error():
            for run in runs:
                part = self.tables.clips.select(run)
                if self._restore(run):
                    continue
                perform(run, part)
                self._note(run)
                if run != runs[-1]:
                    self._end_on_signal(run)

    def place_checkpoint(self, run: Run) -> Path:
        """Where the state of a run is kept until it is done."""
        return self.folder / f"{run!s}.ckpt"

    def _read_runs(self) -> dict[str, list[pa.Table]]:
        """Name of a run that was done before -> its tables, in the order of `RunTables.parts`."""
        found = {}
        for folder in sorted(path for path in self.folder.glob("p*") if path.is_dir() and not path.suffix):
            try:
                # In one piece, as it was: pieces become visible in the bytes of a file.
                found[folder.name] = [
                    read_table(folder / f"{name}.parquet", columns).combine_chunks().cast(columns)
                    for name, columns, _ in self.tables.parts()
                ]
            except DataError:
                logger.warning("what is kept of a run in %s is damaged: this run begins anew", folder)
        return found

    def _restore(self, run: Run) -> bool:
        """Take the tables of a run that was done before; False if it was not."""
        if str(run) not in self._done:
            return False
        # Only the process that writes the job's tables has any of them.
        for (*_, tables), table in zip(self.tables.parts(), self._kept_tables.pop(str(run), []), strict=False):
            # A run on vectors of descriptors has no embeddings, and few keep their training clips.
            if table.num_rows:
                tables[run] = table
        return True

    def _note(self, run: Run) -> None:
        """Note a finished run, and save if the last save is old or the run was long."""
        if find_rank() > 0:
            return
        self._waiting.append(run)
        checkpoint = self.place_checkpoint(run)
        if checkpoint.exists() or time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self.save()
        checkpoint.unlink(missing_ok=True)

    def save(self) -> None:
        """Put on disk all runs that are done."""
        if find_rank() > 0:
            return
        if self.kept:
            self.kept.save(self.folder)
        while self._waiting:
            run = self._waiting[0]
            place, part = self.folder / str(run), self.folder / f"{run!s}.part"
            shutil.rmtree(part, ignore_errors=True)
            for name, columns, tables in self.tables.parts():
                write_table(part / f"{name}.parquet", tables.get(run, columns.empty_table()), columns)
            replace_folder(part, place)
            self._waiting.pop(0)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Forget all of it at once, now that the job's output is there."""
        # Under a name that no job looks for, so that none takes up half of it; `place_job` removes what is left.
        gone = self.folder.with_name(f"{self.folder.name.rpartition('.')[0]}.done")
        refuse_ended_run(self.folder)
        self.folder.rename(gone)
        shutil.rmtree(gone)

    @contextmanager
    def _saved_on_error(self) -> Iterator[None]:
        """Save finished runs if the block ends with an error, such as SIGTERM."""
        try:
            yield
        except BaseException as error:
            self.save()
            if isinstance(error, Interrupted):
                # Which all processes raise together; those that end sooner would take the one that writes along.
                share(True)
            raise

    def _end_on_signal(self, run: Run) -> None:
        """End the job after a run if a rank received a signal."""
        if any(gather([bool(self.notice.name)])):
            said = self.notice.name or "a signal to another process"
            name = self.tables.setting.name(run)
            raise Interrupted(
                f"{name}: {said} ended the job after this run; run the same command again to continue with the next run"
            )


def place_job(job: TaskJob, settings: Sequence[object] = (), further: Sequence[str] = ()) -> Path:
    """Folder of what a job leaves when it is killed, beside its models; those of other names are removed.

    Args:
        job: of the task.
        settings: that decide the outcome, besides those of the method.
        further: modules that it loads by name, besides the method.
    """
    drawn = job.task.describe_draws(job.setting.subset)
    whole = [astuple(job.setting), drawn, job.task.kind, job.task.outputs, job.settings.describe(), *settings]
    upstream = [path for paths in job.upstream.values() for path in paths]
    inputs = [*job.files, *job.splits, *([] if job.model is None else [job.model]), *upstream]
    modules = [
        f"emoadapt.methods.{job.settings.method}",
        *(f"emoadapt.{name}" for name in job.settings.list_modules()),
        *further,
    ]
    name = name_state(whole, modules, job.settings.list_libraries(), inputs, job.config, job.study.weights_folder)
    place = job.models.with_name(f".{job.models.name}.{name}")
    if find_rank() == 0:
        remove_others(place, f".{job.models.name}.*")
    return place
