"""What a Stage-2 job that was killed leaves behind: its finished runs.

Of the run in which it was killed there is the checkpoint of `emoadapt.training.checkpoints`, in the same folder, whose name is
that of `emoadapt.training.states`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from emoadapt.data.ranks import find_rank, share
from emoadapt.flow.parts import replacing
from emoadapt.flow.store import read_table, write_table
from emoadapt.training.runs import RunKey, RunTables


class Kept(Protocol):
    """What besides tables must outlive a killed job."""

    def save(self, folder: Path) -> None:
        """Put on disk what has changed since the last time."""

    def load(self, folder: Path) -> None:
        """Take up again what is there."""


class UnfinishedJob:
    """The runs of a Stage-2 job that are done, on disk for when it is killed.

    Of several processes the first writes; what was there before is looked up once, so that all do the same runs.

    Args:
        folder: of this job; made if it is not there.
        tables: of its runs.
        kept: what else is kept of them.
        seconds: how often it is written, at most, unless a run took long enough to keep a state or the job ends with an error.
    """

    def __init__(self, folder: Path, tables: RunTables, kept: Kept, seconds: float) -> None:
        self.folder, self.tables, self.kept, self.seconds = folder, tables, kept, seconds
        self._waiting: list[RunKey] = []
        self._saved = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._found = share({path.name for path in folder.iterdir() if path.is_dir()})
        kept.load(folder)

    def restore(self, run: RunKey) -> bool:
        """Take the tables of a run that was done before; False if it was not."""
        folder = self._place(run)
        if folder.name not in self._found:
            return False
        for name, columns, tables in self.tables.parts():
            # A run of the handcrafted vector has no embeddings.
            if (path := folder / f"{name}.parquet").is_file():
                # In one piece, as it was: pieces become visible in the bytes of a file.
                tables[run] = read_table(path, columns).combine_chunks().cast(columns)
        return True

    def place_checkpoint(self, run: RunKey) -> Path:
        """Where the state of a run is kept until it is done."""
        return self.folder / f"{_name(run)}.ckpt"

    def note(self, run: RunKey) -> None:
        """A run is done; it is put on disk now if the last time was long ago, or if the run itself took long."""
        if find_rank() > 0:
            return
        self._waiting.append(run)
        checkpoint = self.place_checkpoint(run)
        if checkpoint.exists() or time.monotonic() - self._saved > self.seconds:
            self.save()
        checkpoint.unlink(missing_ok=True)

    def save(self) -> None:
        """Put on disk all runs that are done."""
        if find_rank() > 0:
            return
        self.kept.save(self.folder)
        for run in self._waiting:
            part = self.folder / f"{_name(run)}.part"
            shutil.rmtree(part, ignore_errors=True)
            for name, columns, tables in self.tables.parts():
                if run in tables:
                    write_table(part / f"{name}.parquet", tables[run], columns)
            part.rename(self._place(run))
        self._waiting, self._saved = [], time.monotonic()

    @contextmanager
    def saved_on_error(self) -> Iterator[None]:
        """Put what is done on disk if the rest ends with an error, such as the cluster's signal."""
        try:
            yield
        except BaseException:
            self.save()
            raise

    def remove(self) -> None:
        """Forget all of it, now that the job's output is there."""
        shutil.rmtree(self.folder)

    def _place(self, run: RunKey) -> Path:
        return self.folder / _name(run)


def _name(run: RunKey) -> str:
    resampling, fold, seed = run
    return f"r{resampling}f{fold}s{seed}"


def save_object(value: Any, path: Path) -> None:
    """Write tensors and plain values in one step."""
    with replacing(path) as part:
        torch.save(value, part)
