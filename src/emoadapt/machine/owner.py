"""Ownership of a results folder by one study."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Set
from html import unescape
from pathlib import Path

from emoadapt.errors import DataError
from emoadapt.storage.files import write_text

RECORD = "study.json"
"""File of the results that holds the name of their study."""
MADE = (RECORD, "models", "runs", "refits", "metrics", "tables", "figures", "report", "classifiers")
"""Results of one study alone; features can be used by any study."""
SUPERSEDED = "superseded"
"""Folder of the results that runs of earlier configurations are moved to."""


def find_owner(results: Path) -> str | None:
    """Name of the study that owns a results folder, or None.

    The record decides; in older folders without one, the report.
    """
    try:
        found = json.loads((results / RECORD).read_text(encoding="utf-8"))["study"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if isinstance(found, str):
        return found
    try:
        page = (results / "report/index.html").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    named = re.search(r'<p class="soft">Study (\w+):', page)
    return unescape(named[1]) if named else None


def refuse_other_study(results: Path, study: str, *, chosen: bool = True) -> None:
    """Refuse a results folder that another study owns.

    Args:
        results: folder of results.
        study: name of the study.
        chosen: whether the study was named on the command line, and is not the demo for want of a configuration file.

    Raises:
        DataError: it belongs to another one.
    """
    owner = find_owner(results)
    if owner in (None, study):
        return
    meant = "" if chosen else " (no --configfile is given, which means the demo)"
    made = " ".join(str(results / name) for name in MADE if (results / name).exists())
    raise DataError(
        f"{results}/ belongs to study {owner}, and this is study {study}{meant}. Name the configuration of {owner} with --configfile; "
        f"or work in another folder (snakemake --directory FOLDER ...); or delete the results of {owner} and keep its features: "
        f"rm -r {made}"
    )


def claim_results(results: Path, study: str) -> str | None:
    """Record the study as the owner of a results folder; for runs, not for dry runs.

    Returns:
        A sentence, if the folder holds results and nothing says of which study; they are then taken as this study's.

    Raises:
        DataError: they are another study's.
    """
    refuse_other_study(results, study)
    text = json.dumps({"study": study}) + "\n"
    path = results / RECORD
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
        return None
    found = [name for name in MADE if name != RECORD and (results / name).is_dir()]
    unknown = found and find_owner(results) is None
    write_text(path, text)
    if not unknown:
        return None
    return (
        f"{results}/ holds {', '.join(found)}, and no record of the study that made them; they are taken as those of study {study}. "
        f"If they are another study's, stop, delete {path}, and work in another folder (snakemake --directory FOLDER ...)"
    )


def supersede_runs(results: Path, wanted: Iterable[Path]) -> list[Path]:
    """Move everything that is no run of the study out of `runs`.

    A setting that the study no longer has, or a batch that other `runs_per_job`, seeds or draws no longer make, would be read with
    all predictions. What was moved before stays, other batches of the same setting included.

    Args:
        results: folder of results.
        wanted: folders that stay, with all below them: of all batches of the study, `<results>/runs/<task>/<model>/<subset>/<batch>`,
            and of tasks and models that are left out only because an optional corpus is missing.

    Returns:
        Folders that were moved, as they were named before; of folders in one another, the outermost.
    """
    kept = set(wanted)
    above = {folder for path in kept for folder in path.parents}
    moved = list(_find_unwanted(results / "runs", kept, above))
    for path in moved:
        _move_batches(
            path, results / SUPERSEDED / path.relative_to(results), _BATCH_DEPTH - len(path.relative_to(results).parts)
        )
    return moved


_BATCH_DEPTH = 5
"""Parts of the path of a batch: `runs/<task>/<model>/<subset>/<batch>`."""


def _find_unwanted(folder: Path, kept: Set[Path], above: Set[Path]) -> Iterator[Path]:
    """Folders below `folder` that are neither kept nor hold any that are."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path in kept or not path.is_dir():
            continue
        if path in above:
            yield from _find_unwanted(path, kept, above)
        else:
            yield path


def _move_batches(source: Path, target: Path, levels: int) -> None:
    """Move a folder whose batches lie `levels` deeper; a batch replaces its namesake, other folders are merged."""
    if levels > 0 and source.is_dir() and (target.is_dir() or not source.is_symlink()):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            _move_batches(path, target / path.name, levels - 1)
        source.unlink() if source.is_symlink() else source.rmdir()
        return
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():  # may be relative
        target.symlink_to(source.resolve())
        source.unlink()
    else:
        shutil.move(source, target)  # also to another disk
