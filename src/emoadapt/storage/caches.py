"""Cache files, which a process can do without."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from emoadapt.storage.files import Overtaken, replacing


def write_cache(path: Path, text: str) -> None:
    """Write a file atomically; on a full or read-only disk, or beside another writer, leave what is there."""
    with suppress(OSError, Overtaken), replacing(path, lasting=False) as part:
        part.write_text(text)
