"""Making room: shards whose content goes, and comes back when it is wanted.

A dropped shard stays where it is, with the time it had, its rows, statuses and reasons, but without what takes space. So
Snakemake sees nothing changed, and what is stale stays stale: nothing is computed again because of it. A job that wants what is
gone ends with one sentence. `restore` has Snakemake make such shards again, stage by stage; those that hold what they held get
their old time back, so that nothing that was trained on them is trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from emoadapt.errors import ConfigError, DataError
from emoadapt.features.catalogue import FEATURES, upstream_features
from emoadapt.flow.disk import DROPPABLE
from emoadapt.flow.lock import keep_out_others
from emoadapt.flow.store import drop_content, iterate_groups, read_dropped

UNFINISHED = ".restoring.json"
"""File of the results that holds what a restoration must know of the shards it is making again."""
RESTORING = "EMOADAPT_RESTORING"
"""Environment variable by which Snakemake knows that it works for a restoration."""


@dataclass(frozen=True)
class Dropped:
    """What was dropped.

    Args:
        stage: for example `features/faces`.
        shards: number of files.
        size: bytes that came free.
    """

    stage: str
    shards: int
    size: int


@dataclass(frozen=True)
class Restored:
    """What came of a restoration.

    Args:
        same: shards that hold what they held.
        other: those that hold something else, so that what depends on them is stale.
        away: those that were not made again.
        status: exit status of Snakemake's last run.
    """

    same: list[Path]
    other: list[Path]
    away: list[Path]
    status: int


def drop_stages(results: Path, stages: Sequence[str]) -> list[Dropped]:
    """Drop what takes space in the shards of stages, and the finished rows that are kept beside them.

    Args:
        results: folder of results, in which no run is going on.
        stages: folders below it, such as `features/faces` or `training/egemaps`.

    Raises:
        DataError: one has no shards, or Snakemake is at work; nothing is dropped then. A shard cannot be read; those after it stay.
    """
    known = _list_stages(results)
    for stage in stages:
        if stage not in known:
            raise DataError(f"{stage} cannot be dropped; of {results} there can go: {', '.join(known) or 'nothing'}")
    working = results.absolute().parent
    with keep_out_others(working) as alone:
        if not alone:
            raise DataError(f"Snakemake is at work in {working}; drop shards when it has ended")
        return [_drop(stage, known[stage]) for stage in dict.fromkeys(stages)]


def _drop(stage: str, shards: Sequence[Path]) -> Dropped:
    whole = [path for path in shards if read_dropped(path) is None]
    size = 0
    for path in whole:
        size += path.stat().st_size
        drop_content(path, _digest_content(path))
        size -= path.stat().st_size
        for rows in (path.parent / ".rows").glob(f"{path.stem}.*"):
            rows.unlink()
    return Dropped(stage, len(whole), size)


def restore(results: Path, wanted: Iterable[str], options: Sequence[str]) -> Restored:
    """Have Snakemake make dropped shards again, in the working directory.

    A restoration that was interrupted goes on with the same call, unless Snakemake ran in between.

    Args:
        results: folder of results, relative to the working directory.
        wanted: shards of the study, as its rules call them; those that were not dropped are passed over.
        options: for Snakemake.

    Raises:
        ConfigError: the options lead elsewhere.
    """
    if any(option in ("-d", "--directory") or option.startswith("--directory=") for option in options):
        raise ConfigError("--directory leads away from here; call `emoadapt restore` in that folder, without it")
    note = results / UNFINISHED
    was = json.loads(note.read_text()) if note.exists() else {}
    away = [Path(path) for path in wanted if Path(path).exists() and read_dropped(path) is not None]
    was |= {str(path): [read_dropped(path), path.stat().st_mtime_ns] for path in away}
    _write(note, json.dumps(was))
    status = 0
    for _, stage in groupby(sorted(away, key=lambda path: _rank_stage(find_stage(path))), find_stage):
        files = [str(path) for path in stage]
        command = [sys.executable, "-m", "snakemake", *files, "--force", *options]
        status = status or subprocess.run(command, env={**os.environ, RESTORING: "1"}, check=False).returncode
        _give_times_back(was)
    same, other = _give_times_back(was)
    note.unlink()
    left = [path for path in away if not path.exists() or read_dropped(path) is not None]
    return Restored(same, other, left, status)


def end_restorations(results: Path) -> None:
    """To be called when Snakemake begins: what another run makes from restored shards may be newer than what they were before."""
    if RESTORING not in os.environ:
        (results / UNFINISHED).unlink(missing_ok=True)


def _give_times_back(was: dict[str, tuple[str, int]]) -> tuple[list[Path], list[Path]]:
    """Shards that were made again with the content they had, which get their time back, and those with another content."""
    same, other = [], []
    for path, (content, time) in ((Path(name), value) for name, value in was.items()):
        if not path.exists() or read_dropped(path) is not None:
            continue
        if _digest_content(path) == content:
            os.utime(path, ns=(path.stat().st_atime_ns, time))
            same.append(path)
        else:
            other.append(path)
    return same, other


def find_stage(shard: Path) -> str:
    """Such as `features/faces`."""
    return "/".join(shard.parts[-4:-2])


def _rank_stage(stage: str) -> tuple[int, str]:
    """Features after those that they are computed from, then training shards, then CNN output, which a Stage-1 model may be behind."""
    folder, _, name = stage.partition("/")
    if folder == "training":
        return len(FEATURES), stage
    return (len(upstream_features(name)) if name in FEATURES else len(FEATURES) + 1), stage


def _list_stages(results: Path) -> dict[str, list[Path]]:
    """Stages that can be dropped, with their shards."""
    return {
        f"{folder}/{path.name}": shards
        for folder in DROPPABLE
        for path in sorted((results / folder).glob("*"))
        if (shards := sorted(path.glob("*/*.parquet")))
    }


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def _digest_content(shard: Path) -> str:
    """Of columns and rows, whatever the row groups; a row group is in memory."""
    found = hashlib.sha256()
    for number, table in enumerate(iterate_groups(shard)):
        if not number:
            found.update(repr([(field.name, str(field.type)) for field in table.schema]).encode())
        for row in table.to_pylist():
            for value in row.values():
                content = value if isinstance(value, bytes) else repr(value).encode()
                found.update(len(content).to_bytes(8, "little"))
                found.update(content)
    return found.hexdigest()
