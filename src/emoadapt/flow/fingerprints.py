"""Content fingerprints of media files, read again only when size or modification time changed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

UNREADABLE = "unreadable"
"""Fingerprint of a file that is there but cannot be opened; extraction sets its clips aside."""


def fingerprint_media(root: Path, media: Iterable[str], cache_file: Path) -> dict[str, str]:
    """Content hash (16 hex digits) per media file.

    A merely touched file keeps its fingerprint: only its content counts.

    Args:
        root: corpus root.
        media: paths relative to it, / as separator.
        cache_file: JSON of what is known from earlier calls; replaced atomically when something changed.
    """
    known = _read_cache(cache_file)
    entries: dict[str, list] = {}
    stale: list[tuple[str, int, int]] = []
    for name in dict.fromkeys(media):
        try:
            stat = (root / name).stat()
        except OSError:
            entries[name] = [-1, -1, UNREADABLE]
            continue
        entry = known.get(name)
        if entry and entry[0] == stat.st_size and entry[1] == stat.st_mtime_ns:
            entries[name] = entry
        else:
            stale.append((name, stat.st_size, stat.st_mtime_ns))
    if len(stale) > 1000:
        print(f"emoadapt: reading {len(stale)} new or changed files of {root} for their fingerprints", file=sys.stderr)
    with ThreadPoolExecutor(max_workers=4) as pool:
        hashes = pool.map(lambda item: _hash_file(root / item[0]), stale)
        for (name, size, changed), value in zip(stale, hashes, strict=True):
            entries[name] = [size, changed, value]
    if entries != known:
        _write_cache(cache_file, entries)
    return {name: entry[2] for name, entry in entries.items()}


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return UNREADABLE


def _read_cache(path: Path) -> dict[str, list]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _write_cache(path: Path, entries: dict[str, list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(entries, separators=(",", ":")))
    part.replace(path)
