"""Files that only save time: whoever cannot write them goes on without."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_cache(path: Path, text: str) -> None:
    """Write a file atomically; on a full or read-only disk leave what is there."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
