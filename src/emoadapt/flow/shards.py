"""Hash shards: which shard an utterance belongs to, whatever else is in the corpus."""

from __future__ import annotations

import hashlib


def assign_shard(utterance_id: str, shards: int) -> int:
    """Shard number, 0 <= number < shards, from a hash of the id alone."""
    return int.from_bytes(hashlib.sha256(utterance_id.encode()).digest()[:8], "big") % shards


def shard_names(shards: int) -> list[str]:
    """File stems of a corpus's shards: `000`, `001`, ..."""
    return [f"{number:03d}" for number in range(shards)]
