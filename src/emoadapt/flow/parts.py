"""Files that are whole or not there: written beside their place under a name of their own, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when all went well and vanishes when not.

    Its name is that of no other process on any machine.

    Args:
        path: its folder is made.
        lasting: have the system put the content on the disk first, so that a power failure leaves no empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        if lasting:
            force_to_disk(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def force_to_disk(path: Path) -> None:
    """Return when the content of a file would outlive a power failure."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
