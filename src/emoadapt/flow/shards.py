"""Hash shards: the shard of an utterance, and paths of shards."""

from __future__ import annotations

import hashlib
import re
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


def fold_paths(paths: Iterable[str]) -> str:
    """Paths as words for a shell, shards of one folder as `folder/{000..127}.parquet`.

    A command is handed to the shell as one string, which may have 128 KiB: some two thousand paths of shards.
    """
    words: list[str] = []
    run: list[int] = []
    place = ("", 0, "")

    def flush() -> None:
        if run:
            head, width, tail = place
            first, last = f"{run[0]:0{width}d}", f"{run[-1]:0{width}d}"
            words.append(f"{head}{first}{tail}" if len(run) == 1 else f"{head}{{{first}..{last}}}{tail}")
            run.clear()

    for path in map(str, paths):
        found = _SHARD.fullmatch(path)
        if found is None:
            flush()
            words.append(path)
            continue
        number, here = int(found[2]), (found[1], len(found[2]), found[3])
        if run and (here != place or number != run[-1] + 1):
            flush()
        place = here
        run.append(number)
    flush()
    return " ".join(words)


def unfold_paths(words: str) -> list[str]:
    """The paths that `fold_paths` was given, as a shell would tell."""
    paths = []
    for word in words.split():
        found = _FOLDED.fullmatch(word)
        if found is None:
            paths.append(word)
        else:
            width = len(found[2])
            paths += [f"{found[1]}{n:0{width}d}{found[4]}" for n in range(int(found[2]), int(found[3]) + 1)]
    return paths


_SHARD = re.compile(r"(.*/)(\d{3,})(\.\w+)")
_FOLDED = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)")
