"""Content fingerprints of media files, cached by size and time."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emoadapt.schema import UNREADABLE
from emoadapt.storage.caches import read_cache, write_cache

_64_BITS = 2**64 - 1


def fingerprint_media(root: Path, media: Iterable[str], cache_file: Path) -> dict[str, str]:
    """Content hash (16 hex digits) per media file.

    A merely touched file keeps its fingerprint: only its content counts.

    Args:
        root: corpus root.
        media: paths relative to it, / as separator.
        cache_file: JSON of what is known from earlier calls; replaced atomically when something changed.
    """
    known = _read_cache(cache_file, root)
    entries: dict[str, str] = {}
    stale: list[tuple[str, str]] = []
    prefix = f"{root}{os.sep}"
    for name in dict.fromkeys(media):
        state, entry = read_state(prefix + name), known.get(name, "")
        if not state:
            entries[name] = UNREADABLE
        elif entry.startswith(state):
            entries[name] = entry
        else:
            stale.append((name, state))
    if len(stale) > 1000:
        print(f"emoadapt: reading {len(stale)} new or changed files of {root} for their fingerprints", file=sys.stderr)
    with ThreadPoolExecutor(max_workers=4) as pool:
        hashes = pool.map(lambda item: fingerprint_file(root / item[0]), stale)
        for (name, state), value in zip(stale, hashes, strict=True):
            # What could not be opened now is tried again next time.
            entries[name] = state + value if value != UNREADABLE else value
    if entries != known:
        write_cache(cache_file, {"root": str(root.absolute()), "media": entries})
    return {name: entry.rpartition(" ")[2] for name, entry in entries.items()}


def witness_files(root: Path, names: Iterable[str]) -> str | None:
    """Digest of the size, times and inode of files: while it stays, no file was edited, replaced or moved.

    A link that leads back to itself counts as it is.

    Args:
        root: folder.
        names: paths relative to it.

    Returns:
        None if a file is missing or cannot be asked.
    """
    prefix = f"{root}{os.sep}"
    states = array("Q")
    for name in names:
        try:
            found = os.stat(prefix + name)  # noqa: PTH116 - a Path per file takes longer than the question itself
        except OSError as error:
            if error.errno != errno.ELOOP:
                return None
            states.extend((0, 0, 0, 0))
        else:
            # Times before 1970 are negative.
            states.extend((found.st_size, found.st_mtime_ns & _64_BITS, found.st_ctime_ns & _64_BITS, found.st_ino))
    return hashlib.sha256(states).hexdigest()


def read_state(path: Path | str) -> str:
    """Size, times and inode of a file, with a space at the end; empty if it is missing or cannot be asked."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return ""
    # Renaming two files into each other keeps size and modification time, but not inode and change time.
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} "


def fingerprint_file(path: Path, beat: Callable[[], None] | None = None) -> str:
    """Content hash (16 hex digits) of a file; `beat` is called for every MiB of it."""
    found, piece = hashlib.sha256(), memoryview(bytearray(1 << 20))
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(piece):
                found.update(piece[:size])
                if beat:
                    beat()
    except OSError:
        return UNREADABLE
    return found.hexdigest()[:16]


def _read_cache(path: Path, root: Path) -> dict[str, str]:
    """Media -> `<size> <modified> <changed> <inode> <fingerprint>`; one string each is quickly read and small in memory."""
    content = read_cache(path)
    return content["media"] if content is not None and content["root"] == str(root.absolute()) else {}
