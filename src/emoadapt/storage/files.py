"""Atomic writing of files: a temporary name, then a rename."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emoadapt.errors import DataError


class Overtaken(DataError):
    """Another process writes the same file."""


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Open a temporary file that replaces `path` on success and is deleted on failure.

    Its name is that of no other process on any machine. What killed processes left of the same file is removed: only one job
    writes a file at a time.

    Args:
        path: its folder is made.
        lasting: have the system put the content on the disk first, so that a power failure leaves no empty file.

    Raises:
        Overtaken: another process began to write the same file and took this one for left over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(path.parent, path.name)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        try:
            if lasting:
                force_to_disk(part)
            part.replace(path)
        except FileNotFoundError:
            raise Overtaken(
                f"{path} is also being written by another job; wait until it ends, and run the same command again"
            ) from None
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of text, in UTF-8, in one step.

    Raises:
        Overtaken: as `replacing`.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name, by a hard link where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_parts(folder: Path, name: str) -> None:
    """Remove what killed processes left of files whose names begin with `name` and a dot."""
    for part in folder.glob(f".{glob.escape(name)}.*.part"):
        part.unlink(missing_ok=True)


def force_to_disk(path: Path) -> None:
    """Return when the content of a file, or of all files of a folder, would outlive a power failure.

    Each file then has the permissions that the umask gives to new files: safetensors lets only its owner read what it writes.
    """
    files = [below for below in path.rglob("*") if below.is_file()] if path.is_dir() else [path]
    usual = 0o666 & ~_read_umask()
    for file in files:
        with file.open("rb+") as opened:
            mode = os.fstat(opened.fileno()).st_mode & 0o777
            if mode | usual != mode:
                # Some file systems have no permissions of single files.
                with suppress(OSError):
                    os.fchmod(opened.fileno(), mode | usual)
            os.fsync(opened.fileno())


def _read_umask() -> int:
    # It can only be read by setting it; what another thread makes meanwhile is its owner's alone.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
