"""Which weights there are, where each comes from, and which ones a result was computed with.

The names themselves stand in `weights.toml`. Nothing here loads a network, so the Snakefile may ask for identities.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emoadapt.errors import ModelError

REMEMBERED_BYTES = 16 * 2**20
"""Digests of files from this size on are remembered between processes: reading gigabytes takes seconds, and every
cluster job reads the Snakefile again."""

_WEIGHT_SUFFIXES = {".onnx", ".pt", ".pth", ".bin", ".safetensors", ".tflite", ".task", ".xml", ".ckpt"}


@dataclass(frozen=True)
class Weights:
    """One entry of the registry.

    Args:
        name: its name in a configuration.
        source: where to get it.
        licence: SPDX identifier, or where it is stated.
        input: what the network expects.
        files: path relative to the folder of weights -> SHA-256, None where it is not pinned; empty for hub models.
        hub: whether the name is a Hugging Face id.
    """

    name: str
    source: str
    licence: str
    input: str
    files: dict[str, str | None]
    hub: bool = False

    @property
    def place(self) -> str:
        """The file, or the folder of several files, relative to the folder of weights."""
        return (
            next(iter(self.files))
            if len(self.files) == 1
            else os.path.commonpath(self.files)
            if self.files
            else self.name
        )


@cache
def list_weights() -> dict[str, Weights]:
    """All registered weights by name."""
    with Path(__file__).with_name("weights.toml").open("rb") as file:
        table = tomllib.load(file)
    return {
        name: Weights(
            name,
            entry.get("source") or f"https://huggingface.co/{name}",
            entry["licence"],
            entry["input"],
            {path: digest or None for path, digest in entry.get("files", {}).items()},
            entry.get("hub", False),
        )
        for name, entry in table.items()
    }


def resolve(name_or_path: str, models_dir: Path) -> Path:
    """Find weights on this machine.

    Args:
        name_or_path: registered name, or file or folder, relative to `models_dir` or absolute.
        models_dir: folder of weights.

    Returns:
        The file, or the folder of a model of several files.

    Raises:
        ModelError: they are missing, or a registered file does not have its SHA-256.
    """
    entry = list_weights().get(name_or_path)
    owner = entry or _owner(name_or_path)
    path = models_dir / (entry.place if entry else name_or_path)
    wanted = entry.files if entry and entry.files else {name_or_path: owner.files[name_or_path] if owner else None}
    for file, expected in wanted.items():
        location = models_dir / file
        if not location.exists():
            raise ModelError(_missing(name_or_path, location, owner))
        if expected and (found := digest_file(location)) != expected:
            raise ModelError(
                f"{location} is not the file that {owner.name if owner else name_or_path} names: its SHA-256 begins with "
                f"{found[:12]}, expected is {expected[:12]}; fetch it again from {owner.source if owner else 'its source'}, "
                "or name another file by its absolute path"
            )
    return path


def identity(name_or_path: str, models_dir: Path, revision: str | None = None) -> str:
    """Name the content of weights, for provenance and to notice that they changed.

    Pinned weights are named by their pins, whether they are here or not: `resolve` refuses any other content.

    Args:
        name_or_path: registered name, hub id, or file or folder, relative to `models_dir` or absolute.
        models_dir: folder of weights.
        revision: commit of a hub repository.

    Returns:
        `sha256:<16 hex digits>` of a file or of all files of a folder, `hub:<id>@<revision>` for a hub id that is no
        local folder, `missing:<name>` where there is nothing yet.
    """
    entry = list_weights().get(name_or_path)
    owner = entry or _owner(name_or_path)
    if owner and owner.files:
        pins = owner.files if entry else {name_or_path: owner.files[name_or_path]}
        if all(pins.values()):
            return _combine({file: str(digest) for file, digest in pins.items()})
    path = models_dir / (entry.place if entry else name_or_path)
    if path.is_file():
        return _combine({path.name: digest_file(path)})
    if path.is_dir():
        return _combine({str(file.relative_to(path)): digest_file(file) for file in _list_files(path)})
    if (entry and entry.hub) or (not owner and _is_hub_id(name_or_path)):
        return f"hub:{name_or_path}@{revision or 'main'}"
    return f"missing:{name_or_path}"


def digest_file(path: Path) -> str:
    """SHA-256 of a file, read again only when its size, inode or a time of change is another."""
    stat = path.stat()
    return _digest_state(str(path.resolve()), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@cache
def _digest_state(path: str, state: tuple[int, ...]) -> str:
    remember = state[0] >= REMEMBERED_BYTES
    known = _read_memory() if remember else {}
    if path in known and tuple(known[path][:-1]) == state:
        return known[path][-1]
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if remember:
        _write_memory({**_read_memory(), path: [*state, digest]})
    return digest


def _memory_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emoadapt" / "weights.json"


def _read_memory() -> dict[str, list]:
    try:
        return json.loads(_memory_file().read_text())
    except (OSError, ValueError, RuntimeError):
        return {}


def _write_memory(entries: dict[str, list]) -> None:
    try:
        file = _memory_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(entries))
        part.replace(file)
    except (OSError, RuntimeError):
        # A home that cannot be written costs time, not correctness.
        return


def _combine(digests: dict[str, str]) -> str:
    """One name for one or several digests; the name of a single file does not matter."""
    if len(digests) == 1:
        return f"sha256:{next(iter(digests.values()))[:16]}"
    text = "\n".join(f"{digests[file]}  {file}" for file in sorted(digests))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _list_files(folder: Path) -> list[Path]:
    """Files of a folder; hidden ones (download caches, version control) left out."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _owner(path: str) -> Weights | None:
    """The registered weights that a relative path is a file of."""
    return next((entry for entry in list_weights().values() if path in entry.files), None)


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and Path(name).suffix not in _WEIGHT_SUFFIXES


def _missing(name: str, location: Path, owner: Weights | None) -> str:
    if owner is None:
        return f"weights {name!r} are missing: there is no {location}; put them there, set models_dir, or give an absolute path"
    return (
        f"weights {name!r} are missing: there is no {location}; get them from {owner.source} (licence: {owner.licence}) "
        "and put them there, or set models_dir to the folder that has them"
    )
