"""Hash shards: the shard of an utterance, and names of shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def assign_shard(utterance_id: str, shards: int) -> int:
    """Shard number, 0 <= number < shards, from a hash of the id alone."""
    return int.from_bytes(hashlib.sha256(utterance_id.encode()).digest()[:8], "big") % shards


def shard_names(shards: int) -> list[str]:
    """File stems of a corpus's shards: `000`, `001`, ..."""
    return [f"{number:03d}" for number in range(shards)]


def group_by_corpus(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Corpus -> its shards, for paths that end in `<corpus>/<shard>.parquet`."""
    grouped: dict[str, list[Path]] = {}
    for path in paths:
        grouped.setdefault(path.parent.name, []).append(path)
    return grouped
