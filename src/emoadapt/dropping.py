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
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from emoadapt.errors import ConfigError, DataError
from emoadapt.features.catalogue import FEATURES, upstream_features
from emoadapt.flow.disk import DROPPABLE
from emoadapt.flow.lock import keep_out_others
from emoadapt.flow.parts import write_text
from emoadapt.flow.store import drop_content, iterate_groups, read_dropped

UNFINISHED = ".restoring.json"
"""File of the results that holds what a restoration must know of the shards it is making again."""
RESTORING = "EMOADAPT_RESTORING"
"""Environment variable by which Snakemake knows that it works for a restoration."""
LOCK = "restore.lock"
"""File of `.snakemake` whose lock a restoration holds."""
REFUSED = {
    "--directory": ("directory", "call it in that folder"),
    "--dry-run": ("dryrun", "`emoadapt disk` shows what was dropped"),
    "--config": ("config", "write it into a file and name that with --configfile"),
}
"""Option of Snakemake, however it is abbreviated -> its name there, and what to do instead."""


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
    if not (working / ".snakemake").is_dir():
        raise DataError(f"no study was run in {working}; call this in the folder that Snakemake is called in")
    with keep_out_others(working) as alone, keep_out_others(working, LOCK) as undisturbed:
        if not alone or not undisturbed:
            raise DataError(f"Snakemake is at work in {working}; drop shards when it has ended")
        if (results / UNFINISHED).exists():
            raise DataError("a restoration was interrupted; call `emoadapt restore` again before anything is dropped")
        return [_drop(stage, known[stage]) for stage in dict.fromkeys(stages)]


def _drop(stage: str, shards: Sequence[Path]) -> Dropped:
    whole = [path for path in shards if read_dropped(path) is None]
    size = 0
    for path in whole:
        size += path.stat().st_size
        drop_content(path, _digest_content(path))
        size -= path.stat().st_size
    # Also of shards that were dropped before, by a call that was killed.
    for path in shards:
        for rows in (path.parent / ".rows").glob(f"{path.stem}.*"):
            rows.unlink()
    return Dropped(stage, len(whole), size)


def restore(results: Path, wanted: Iterable[str], options: Sequence[str]) -> Restored:
    """Have Snakemake make dropped shards again, in the working directory.

    What a shard held and when is kept in a file until the shard is back, since Snakemake deletes it before its job runs. So a
    restoration that failed or was interrupted goes on with the same call, unless Snakemake was called in between.

    Args:
        results: folder of results, relative to the working directory.
        wanted: shards of the study, as its rules call them; those that were not dropped are passed over.
        options: for Snakemake.

    Raises:
        ConfigError: one of the options cannot be heeded.
        DataError: Snakemake or another restoration is at work.
    """
    from snakemake.cli import get_argument_parser

    given, _ = get_argument_parser().parse_known_args(list(options))
    for option, (name, instead) in REFUSED.items():
        if getattr(given, name):
            raise ConfigError(f"`emoadapt restore` does not take {option}; {instead}")
    with keep_out_others(results.absolute().parent, LOCK) as alone:
        if not alone:
            raise DataError("another restoration is at work here; let it end")
        return _restore(results, set(wanted), options)


def select_shards(
    results: Path, shards: Iterable[str], stages: Sequence[str], inputs: Callable[[str], Iterable[str]]
) -> list[str]:
    """Shards of some stages, and of those that must come back before them: dropped ones that they are made from, and so on.

    Args:
        results: folder of results.
        shards: of the study, as its rules call them.
        stages: such as `features/cnn.wav2vec2`; none = all.
        inputs: stage -> the stages it is computed from.

    Raises:
        ConfigError: the study has no such stage.
    """
    known: dict[str, list[str]] = {}
    for path in shards:
        known.setdefault(find_stage(Path(path)), []).append(path)
    for stage in stages:
        if stage not in known:
            raise ConfigError(f"{stage} is no stage of this study; there is {', '.join(sorted(known))}")
    unfinished = _Note(results / UNFINISHED).was
    waiting, chosen = list(stages or known), set[str]()
    while waiting:
        stage = waiting.pop()
        if stage not in chosen:
            chosen.add(stage)
            waiting += [name for name in inputs(stage) if any(_is_away(p, unfinished) for p in known.get(name, []))]
    return [path for stage, paths in known.items() if stage in chosen for path in paths]


def _is_away(path: str, unfinished: Container[str]) -> bool:
    return path in unfinished or (Path(path).exists() and read_dropped(path) is not None)


def _restore(results: Path, wanted: set[str], options: Sequence[str]) -> Restored:
    note = _Note(results / UNFINISHED)
    for path in sorted(wanted):
        if path not in note.was and Path(path).exists() and (content := read_dropped(path)) is not None:
            note.was[path] = content, Path(path).stat().st_mtime_ns
    note.write()
    away = sorted((Path(path) for path in note.was if path in wanted), key=lambda path: _rank_stage(find_stage(path)))
    same: list[Path] = []
    other: list[Path] = []
    status = 0
    for _, stage in groupby(away, find_stage):
        files = list(stage)
        command = [sys.executable, "-m", "snakemake", *map(str, files), "--force", *options]
        status = subprocess.run(command, env={**os.environ, RESTORING: "1"}, check=False).returncode
        for path in files:
            if path.exists() and read_dropped(path) is None:
                (same if note.settle(path) else other).append(path)
        if status:
            break
    return Restored(same, other, [path for path in away if path not in {*same, *other}], status)


class _Note:
    """What a restoration must know of the shards that are not back yet: path -> digest of the content, time in ns."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.was: dict[str, tuple[str, int]] = {}
        if file.exists():
            try:
                self.was = json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                raise DataError(
                    f"{file} is damaged; delete it and call this again: shards that it held then count as new"
                ) from None

    def write(self) -> None:
        """Put it on disk; nothing is kept of nothing."""
        if not self.was:
            self.file.unlink(missing_ok=True)
            return
        write_text(self.file, json.dumps(self.was))

    def settle(self, shard: Path) -> bool:
        """Give a shard that is back its time, if it holds what it held, and forget about it.

        Raises:
            DataError: Snakemake was called by somebody else in the meantime, who may have read it.
        """
        if not self.file.exists():
            raise DataError(
                "Snakemake was called while shards were being restored, and may have read them: they keep their new times; call "
                "`emoadapt restore` again for the others"
            )
        content, time = self.was.pop(str(shard))
        same = _digest_content(shard) == content
        if same:
            os.utime(shard, ns=(shard.stat().st_atime_ns, time))
        self.write()
        return same


def end_restorations(results: Path) -> None:
    """To be called when Snakemake begins: what another run makes from restored shards may be newer than what they were before."""
    if RESTORING not in os.environ:
        (results / UNFINISHED).unlink(missing_ok=True)


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
