"""Ownership of a results folder by one study."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from html import unescape
from pathlib import Path

from emoadapt.errors import DataError
from emoadapt.flow.parts import write_text

RECORD = "study.json"
"""File of the results that holds the name of their study."""
MADE = (RECORD, "models", "runs", "metrics", "tables", "figures", "report")
"""Results of one study alone; features can be used by any study."""
SUPERSEDED = "superseded"
"""Folder of the results that batches of earlier configurations are moved to."""


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


def claim_results(results: Path, study: str) -> None:
    """Record the study as the owner of a results folder; for runs, not for dry runs.

    Raises:
        DataError: they are another study's.
    """
    refuse_other_study(results, study)
    text = json.dumps({"study": study}) + "\n"
    path = results / RECORD
    if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)


def supersede_batches(results: Path, wanted: Iterable[Path]) -> list[Path]:
    """Move batches that the study no longer has out of `runs`.

    With other `runs_per_job`, seeds or draws a setting may have fewer batches than before. Those left over would repeat runs, and
    would be read with all predictions. Settings that the study no longer has at all stay: their columns distinguish them, and they may come back.

    Args:
        results: folder of results.
        wanted: folders of all batches of the study, `<results>/runs/<task>/<model>/<subset>/<batch>`.

    Returns:
        Folders that were moved, as they were named before.
    """
    kept = set(wanted)
    found = (path for setting in {path.parent for path in kept} for path in setting.glob("b[0-9]*"))
    moved = sorted(path for path in found if path not in kept)
    for path in moved:
        target = results / SUPERSEDED / path.relative_to(results)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return moved
