"""Disk usage of a results folder by stage."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import DataError, explain_disk_error
from emoadapt.machine.owner import SUPERSEDED

LEAST_BYTES = 10_000_000
"""A disk with less than that is full."""
_TRIED_BYTES = 1 << 20
_GROUPED = ("features", "training", "models", "runs", "demo")
"""Folders whose own folders are told apart."""
_PURPOSE = {
    "demo": "media of generated corpora",
    "features": "extracted from the clips, with the finished rows that are reused",
    "training": "packed from features, for Stage 1",
    "models": "Stage-1 models",
    "runs": "predictions, embeddings and models of Stage 2",
    SUPERSEDED: "runs that the study no longer has; may be deleted",
}


@dataclass(frozen=True)
class Holding:
    """One stage's part of the disk.

    Args:
        name: its folder, relative to the results.
        files: number of files.
        size: bytes; a file with several names counts once.
        purpose: what it is for.
    """

    name: str
    files: int
    size: int
    purpose: str


def refuse_files(folder: Path) -> None:
    """Refuse files where a run makes folders.

    Raises:
        DataError: one is there.
    """
    for name in ("results", "results/.cache", "logs", ".snakemake"):
        path = folder / name
        if (path.exists() or path.is_symlink()) and not path.is_dir():
            raise DataError(f"{path.absolute()} is a file, and a run needs a folder there; move or delete the file")


def refuse_read_only(results: Path) -> None:
    """Refuse a read-only results folder, before Snakemake fails with a traceback.

    Raises:
        DataError: nothing can be made in the folder.
    """
    if results.is_dir() and not os.access(results, os.W_OK | os.X_OK):
        raise DataError(
            f"the folder {results.absolute()} cannot be written (its file system is read-only, or another user owns it); "
            "fix this and run the same command again"
        )


def explain_full_disk(*folders: Path) -> str | None:
    """One sentence if a folder's disk is full, its quota used up or its file system read-only; None otherwise.

    For after a job that failed: its own sentence went to a log that lies on the same disk.
    """
    for folder in folders:
        if not folder.is_dir():
            continue
        try:
            if shutil.disk_usage(folder).free < LEAST_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            # A quota is not seen in what is free.
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(_TRIED_BYTES))
        except OSError as error:
            if sentence := explain_disk_error(OSError(error.errno, error.strerror, str(folder.absolute()))):
                return sentence
    return None


def measure_disk(results: Path) -> list[Holding]:
    """What each stage holds, the largest first.

    Raises:
        DataError: there is no such folder.
    """
    if not results.is_dir():
        raise DataError(f"missing folder {results}; name the folder of results with --results")
    seen: set[tuple[int, int]] = set()
    holdings = []
    for name in _list_stages(results):
        files, size = 0, 0
        for status in _walk(results / name):
            files += 1
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                size += status.st_size
        group = name.split("/")[0]
        holdings.append(Holding(name, files, size, _PURPOSE.get(group, "small")))
    return sorted(holdings, key=lambda holding: -holding.size)


def _list_stages(results: Path) -> Iterator[str]:
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        if folder.name in _GROUPED:
            yield from (f"{folder.name}/{path.name}" for path in sorted(folder.iterdir()) if path.is_dir())
        else:
            yield folder.name


def _walk(folder: Path) -> Iterator[os.stat_result]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name).lstat()
