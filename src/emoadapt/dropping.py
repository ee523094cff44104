"""Shards that make room and come back when they are needed, without making anything stale.

Snakemake leaves a missing file alone as long as no job that must run reads it. Once it is made again it is newer than all
that was trained from it, and that would be trained again. So what a dropped shard held, and when it was written, is
kept in `results/.dropped`. If it is made again with the same content it gets its old time back before Snakemake looks
at it the next time; with any other content, what is kept of it is forgotten, and what depends on it is stale, as it should be.

They are made again stage by stage, each in a Snakemake run of its own: in one run, what lies between two of them would be stale,
a training perhaps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import DataError
from emoadapt.features.catalogue import FEATURES, upstream_features
from emoadapt.flow.disk import DROPPABLE
from emoadapt.flow.lock import keep_out_others
from emoadapt.flow.store import iterate_groups

FOLDER = ".dropped"


@dataclass(frozen=True)
class Dropped:
    """What was dropped.

    Args:
        stage: for example `features/faces`.
        shards: number of files.
        size: bytes.
    """

    stage: str
    shards: int
    size: int


def drop_stages(results: Path, stages: Sequence[str]) -> list[Dropped]:
    """Delete the shards of stages, with the finished rows that are kept beside them.

    Args:
        results: folder of results, in which no run is going on.
        stages: folders below it, such as `features/faces` or `training/egemaps`.

    Raises:
        DataError: one has no shards, or they cannot be read, or Snakemake is at work; nothing is deleted then.
    """
    shards = {stage: _list_shards(results, stage) for stage in dict.fromkeys(stages)}
    working = results.absolute().parent
    with keep_out_others(working) as alone:
        if not alone:
            raise DataError(f"Snakemake is at work in {working}; drop shards when it has ended")
        for path in (path for paths in shards.values() for path in paths):
            _keep(results, path)
        dropped = [
            Dropped(stage, len(paths), sum(path.stat().st_size for path in paths)) for stage, paths in shards.items()
        ]
        for stage in shards:
            shutil.rmtree(results / stage)
    return dropped


def _list_shards(results: Path, stage: str) -> list[Path]:
    """All shards of a stage.

    Raises:
        DataError: there are none, or it is not one of those that can be dropped.
    """
    known = {
        f"{folder}/{path.name}": shards
        for folder in DROPPABLE
        for path in sorted((results / folder).glob("*"))
        if (shards := sorted(path.glob("*/*.parquet")))
    }
    if stage not in known:
        raise DataError(f"{stage} cannot be dropped; of {results} there can go: {', '.join(known) or 'nothing'}")
    return known[stage]


def forget_if_changed(shard: Path) -> None:
    """To be called when a shard was written: one that holds something else than what was dropped is a new one."""
    if len(shard.parents) <= 3:
        return
    record = _record_of(shard.parents[3], shard)
    if record.is_file() and json.loads(record.read_text())["content"] != _digest_content(shard):
        record.unlink()


def list_away(results: Path) -> list[Path]:
    """Shards that were dropped and not made again since, in an order in which they can be made."""
    away = [shard for _, shard in _list_records(results) if not shard.exists()]
    return sorted(away, key=lambda shard: _rank_stage(find_stage(shard)))


def find_stage(shard: Path) -> str:
    """Such as `features/faces`."""
    return "/".join(shard.parts[-4:-2])


def _rank_stage(stage: str) -> tuple[int, str]:
    """Features after those that they are computed from, then training shards, then CNN output, which a Stage-1 model may be behind."""
    folder, _, name = stage.partition("/")
    if folder == "training":
        return len(FEATURES), stage
    return (len(upstream_features(name)) if name in FEATURES else len(FEATURES) + 1), stage


def restore(options: Sequence[str]) -> int:
    """Run `snakemake restore`, which makes the shards of one stage again, until all of the study's are there.

    Args:
        options: for Snakemake; it runs in the working directory.

    Returns:
        The exit status of the last run.

    Raises:
        DataError: nothing is away here.
    """
    results = Path("results")
    away = list_away(results)
    if not away:
        raise DataError(f"nothing that was dropped is away in {results.absolute()}; run this where the results are")
    status = 0
    while away and not status:
        status = subprocess.run([sys.executable, "-m", "snakemake", "restore", *options], check=False).returncode
        before, away = away, list_away(results)
        if len(away) == len(before):
            break
    return status


def settle(results: Path) -> None:
    """Give shards that were dropped and made again the time they had.

    To be called before Snakemake looks at them, and while no run is going on. What cannot be written is left as it is.
    """
    for record, shard in _list_records(results):
        time = json.loads(record.read_text())["mtime_ns"]
        if shard.exists() and shard.stat().st_mtime_ns != time:
            with suppress(OSError):
                os.utime(shard, ns=(time, time))
    if not list_away(results):
        shutil.rmtree(results / FOLDER, ignore_errors=True)


def _list_records(results: Path) -> list[tuple[Path, Path]]:
    """What is kept of shards, with the shards."""
    folder = results / FOLDER
    return [
        (record, results / record.relative_to(folder).with_suffix(".parquet"))
        for record in sorted(folder.glob("*/*/*/*.json"))
    ]


def _keep(results: Path, shard: Path) -> None:
    """Write down what a shard holds and when it was written; what is known of the same content stays."""
    record, content = _record_of(results, shard), _digest_content(shard)
    if record.is_file() and json.loads(record.read_text())["content"] == content:
        return
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_suffix(".part")
    part.write_text(json.dumps({"content": content, "mtime_ns": shard.stat().st_mtime_ns}))
    part.replace(record)


def _record_of(results: Path, shard: Path) -> Path:
    return results / FOLDER / shard.relative_to(results).with_suffix(".json")


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
