"""Cache files, each with a digest of its content. A missing or damaged one is computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from emoadapt.storage.files import Overtaken, replacing
from emoadapt.storage.footers import digest_bytes

_BEFORE, _AFTER = 36, b"]"
_HELD: ContextVar[dict[Path, bytes] | None] = ContextVar("_HELD", default=None)
"""Caches of a command that only looks, whose folders are not there; None where no command does."""


@contextmanager
def make_no_folder() -> Iterator[None]:
    """Keep caches in folders that are there, and the others in memory: a command that only looks leaves no `results/` behind."""
    token = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(token)


def write_cache(path: Path, content: Any) -> None:
    """Write a value that JSON can hold; on a full or read-only disk, or beside another writer, leave what is there."""
    text = json.dumps(content, separators=(",", ":")).encode()
    held = _HELD.get()
    if held is not None and not path.is_absolute() and not Path(path.parts[0]).is_dir():
        held[path] = text
        return
    (held or {}).pop(path, None)
    with suppress(OSError, Overtaken), replacing(path, lasting=False) as part, part.open("wb") as file:
        file.writelines((_open(text), text, _AFTER))


def read_cache(path: Path) -> Any | None:
    """What `write_cache` wrote; None if it is missing or damaged, or cannot be read."""
    if (held := (_HELD.get() or {}).get(path)) is not None:
        return json.loads(held)
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    content = memoryview(whole)[_BEFORE : -len(_AFTER)]
    if not whole.startswith(_open(content)) or not whole.endswith(_AFTER):
        return None
    # A large cache is at most twice in memory.
    text = str(content, "ascii")
    del content, whole
    return json.loads(text)


def _open(content: bytes | memoryview) -> bytes:
    """What stands before a content: the two are a list in JSON, of its digest and itself."""
    return f'["{digest_bytes(content)}",'.encode()
