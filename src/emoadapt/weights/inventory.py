"""Inventory of the weights on this machine, compared with their pins."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import ModelError
from emoadapt.weights.registry import (
    WEIGHT_SUFFIXES,
    digest_file,
    fetch_command,
    find_other_commit,
    holds_weights,
    is_hub_id,
    list_pins,
    list_weights,
    locate,
    read_lock,
)

OK, MISSING, ALTERED, UNPINNED = "ok", "missing", "altered", "not pinned"

Wanted = tuple[str, str | None]
"""Name or path of weights, and the revision of a hub model (None = the registry's)."""


@dataclass(frozen=True)
class FileState:
    """One file of a set of weights: where it belongs, and how it is there."""

    place: Path
    state: str


def inspect_weights(name: str, models_dir: Path, revision: str | None = None, *, anew: bool = False) -> list[FileState]:
    """The state of every file of a set of weights.

    Args:
        name: registered name, hub id, or file or folder, relative to `models_dir` or absolute.
        models_dir: folder of weights.
        revision: of a hub model; default: the registry's.
        anew: read every file, instead of trusting that one of the same size and times has not changed.

    Returns:
        Files with their places. A hub model that is nowhere is one missing folder; so is one without weights in it, and
        one of another commit than is asked for is an altered folder.
    """
    entry = list_weights().get(name)
    if entry and not entry.hub:
        pins = list_pins(name, models_dir / entry.place, models_dir)
        return [FileState(file, _inspect_file(file, expected, anew)) for file, expected in pins.items()]
    try:
        path = locate(name, models_dir, revision)
    except ModelError:
        return [FileState(models_dir / name, MISSING)]
    if is_hub_id(name) and path.is_dir():
        if not holds_weights(path):
            return [FileState(path, MISSING)]
        if find_other_commit(name, path, models_dir, revision):
            return [FileState(path, ALTERED)]
    pins = list_pins(name, path, models_dir, revision)
    return [FileState(file, _inspect_file(file, expected, anew)) for file, expected in pins.items()]


def summarise(files: Iterable[FileState]) -> str:
    """One state for a set of weights: the worst of its files; small files without a pin do not count beside pinned weights."""
    states = {file.state for file in files}
    for state in (MISSING, ALTERED):
        if state in states:
            return state
    weights = {file.state for file in files if file.place.suffix in WEIGHT_SUFFIXES} or states
    return UNPINNED if UNPINNED in weights else OK


def _inspect_file(file: Path, expected: str | None, anew: bool) -> str:
    if not file.is_file():
        return MISSING
    if expected is None:
        return UNPINNED
    return OK if digest_file(file, anew=anew) == expected else ALTERED


def parse_name(text: str, models_dir: Path) -> Wanted:
    """Read a name as people write it: a registered name, `<hub id>[@<revision>]`, or a path.

    Raises:
        ModelError: it is none of these.
    """
    known = list_weights()
    if text and (models_dir / text).exists():
        return text, None
    name, _, revision = text.partition("@")
    if revision and not is_hub_id(name):
        raise ModelError(f"{text}: only a hub model has a revision; {name} is none")
    if name in known or is_hub_id(name):
        return name, revision or None
    near = difflib.get_close_matches(name, known, n=3) or [entry for entry in known if entry.endswith(f"/{name}")]
    raise ModelError(
        f"weights {name!r} are not known; did you mean {', '.join(near)}?"
        if near
        else f"weights {name!r} are not known; `emoadapt models list` names those that are, and any hub id can be given"
    )


def list_present(models_dir: Path, besides: Iterable[Wanted] = ()) -> list[Wanted]:
    """Registered weights of which something is here, and what else was fetched, at the commit that is here.

    Args:
        models_dir: folder of weights.
        besides: weights to leave out, at whatever revision.
    """
    names = [entry.name for name, entry in list_weights().items() if name == entry.name]
    present = [name for name in names if {file.state for file in inspect_weights(name, models_dir)} != {MISSING}]
    record = read_lock(models_dir)
    left_out = {name for name, _ in besides}
    found = (name for name in dict.fromkeys([*present, *record]) if name not in left_out)
    return [(name, record.get(name, {}).get("revision")) for name in found]


def print_list(models_dir: Path) -> None:
    """Print all registered weights: name, role, size, licence, state here."""
    rows = [("name", "role", "size", "licence", "here")]
    for name, entry in list_weights().items():
        if name == entry.name:
            state = summarise(inspect_weights(name, models_dir))
            rows.append((name, entry.role, show_size(entry.size), entry.licence, state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nhere: {models_dir} and the Hugging Face cache")


def print_verification(wanted: Sequence[Wanted], models_dir: Path) -> None:
    """Print the state of every file of weights, reading each whole.

    Raises:
        ModelError: something is missing or altered.
    """
    bad = []
    for name, revision in wanted:
        files = inspect_weights(name, models_dir, revision, anew=True)
        for file in files:
            print(f"{file.state:<10}  {name}  {file.place}", flush=True)
        if (state := summarise(files)) in (MISSING, ALTERED):
            bad.append(f"{name} ({state}): {fetch_command(name, models_dir, revision)}")
    if not wanted:
        print(f"no weights in {models_dir}, and none needed")
    if bad:
        raise ModelError(
            f"{len(bad)} of {len(wanted)} sets of weights cannot be used:\n" + "\n".join(f"  {x}" for x in bad)
        )


def show_size(size: int | None) -> str:
    """Format bytes in powers of 1000; empty if unknown."""
    if size is None:
        return ""
    scales = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    unit = next((unit for unit, scale in scales.items() if size < 999.5 * scale), "GB")
    return f"{size / scales[unit]:.3g} {unit}"
