"""Registry of weights: source, pins and identity.

The names themselves stand in `weights.toml`. Nothing here loads a network or uses the net, so the Snakefile may ask
for identities; `weights.fetching` is what downloads.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from emoadapt.errors import Change, Command, Fix, ModelError, find_near
from emoadapt.storage import folders
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.weights.untrusted import refuse_inflated

REMEMBERED_BYTES = 16 * 2**20
"""Digests of files from this size on are remembered between processes: reading gigabytes takes seconds, and every
cluster job reads the Snakefile again."""

LOCK_FILE = "weights.lock.json"
"""In the folder of weights: what was fetched, and the SHA-256 of files that the registry does not pin."""

WEIGHT_SUFFIXES = {".onnx", ".pt", ".pth", ".bin", ".safetensors", ".tflite", ".task", ".xml", ".ckpt"}


@dataclass(frozen=True)
class WeightFile:
    """A file of an entry.

    Args:
        sha256: its digest, None where it is not pinned.
        size: in bytes, None where it is not known.
        origin: address, or path inside the entry's wheel; None where it cannot be fetched by itself.
    """

    sha256: str | None = None
    size: int | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Weights:
    """One entry of the registry.

    Args:
        name: its name in a configuration.
        role: what it serves for.
        source: page of the model.
        licence: SPDX identifier, or where it is stated.
        input: what the network expects.
        files: path relative to the folder of weights -> file. Of a hub model only those that are pinned.
        hub: whether the name is a Hugging Face id.
        revision: commit of the hub repository, or of the repository that the files are taken from; None where not known.
        wheel: distribution and version on the package index that carries the files.
        network: of an embedding network what `features.face_embedding.network` declares.
    """

    name: str
    role: str
    source: str
    licence: str
    input: str
    files: Mapping[str, WeightFile]
    hub: bool = False
    revision: str | None = None
    wheel: str | None = None
    network: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The file, or the folder of several files, relative to the folder of weights."""
        if self.hub:
            return self.name
        return next(iter(self.files)) if len(self.files) == 1 else os.path.commonpath(self.files)

    @property
    def size(self) -> int | None:
        """Bytes of all its files; of a hub model those of its weights. None where one is not known."""
        sizes = [file.size for file in self.files.values()]
        return None if None in sizes or not sizes else sum(size for size in sizes if size)

    @property
    def can_be_fetched(self) -> bool:
        """Whether `emoadapt models fetch` knows where to get it."""
        return self.hub or all(file.origin for file in self.files.values())


@cache
def list_weights() -> dict[str, Weights]:
    """All registered weights by name; an alias leads to the entry it stands for."""
    with Path(__file__).with_name("weights.toml").open("rb") as file:
        table = tomllib.load(file)
    entries = {name: _read_entry(name, entry) for name, entry in table.items()}
    aliases = {alias: entries[name] for name, entry in table.items() for alias in entry.get("aliases", [])}
    return entries | aliases


def _read_entry(name: str, entry: dict[str, Any]) -> Weights:
    hub = entry.get("hub", False)
    files = {
        f"{name}/{path}" if hub else path: WeightFile(file.get("sha256"), file.get("size"), file.get("origin"))
        for path, file in entry.get("files", {}).items()
    }
    source = entry.get("source") or f"https://huggingface.co/{name}"
    facts = {key: entry.get(key) for key in ("revision", "wheel")}
    network = entry.get("network", {})
    return Weights(name, entry["role"], source, entry["licence"], entry["input"], files, hub, **facts, network=network)


def find_entry(name_or_path: str) -> Weights | None:
    """The entry of a registered name, or of a path relative to the folder of weights that is one of its files."""
    entries = list_weights()
    if name_or_path in entries:
        return entries[name_or_path]
    return next((entry for entry in entries.values() if name_or_path in entry.files), None)


def find_entry_of(file: Path) -> Weights | None:
    """The entry that pins the content of a file, whatever the file is called."""
    pinned = {pin.sha256: entry for entry in list_weights().values() for pin in entry.files.values() if pin.sha256}
    return pinned.get(digest_file(file))


def find_similar(name: str) -> str | None:
    """The registered name that a name which is none was probably meant to be."""
    return find_near(name, list_weights(), 0.8)


def is_hub_id(name: str) -> bool:
    """Whether a name is registered as, or looks like, a Hugging Face id."""
    if entry := list_weights().get(name):
        return entry.hub
    # No part begins or ends with `.` or `-`: `./net` and `../net` are paths.
    part = r"\b[\w.-]+\b"
    return re.fullmatch(f"{part}/{part}", name) is not None and Path(name).suffix not in WEIGHT_SUFFIXES


def locate(name_or_path: str, models_dir: Path, revision: str | None = None) -> Path:
    """Find weights on this machine, without looking into them.

    Args:
        name_or_path: registered name, hub id, or file or folder, relative to `models_dir` or absolute.
        models_dir: folder of weights.
        revision: commit, branch or tag of a hub repository; default: the registry's.

    Returns:
        The file, or the folder of a model of several files. A hub model that is no folder of `models_dir` is looked for
        in the Hugging Face cache.

    Raises:
        ModelError: they are missing.
    """
    entry = list_weights().get(name_or_path)
    if entry and not entry.hub:
        if lacking := [file for file in entry.files if not (models_dir / file).is_file()]:
            raise _missing(name_or_path, models_dir, models_dir / lacking[0])
        return models_dir / entry.place
    path = models_dir / name_or_path
    if path.exists():
        return path
    wanted = revision or (entry.revision if entry else None)
    cached = _find_cached(name_or_path, wanted) if is_hub_id(name_or_path) else None
    if cached is None:
        raise _missing(name_or_path, models_dir, path, revision)
    return cached


def resolve(name_or_path: str, models_dir: Path, revision: str | None = None) -> Path:
    """Find weights on this machine and check that they are the ones that were pinned.

    Args:
        name_or_path: as in `locate`.
        models_dir: folder of weights.
        revision: as in `locate`.

    Returns:
        The file, or the folder of a model of several files.

    Raises:
        ModelError: they are missing, a pinned file does not have its SHA-256, the folder of a hub model holds another
            commit than is asked for, or a file unpacks to more than it holds.
    """
    path = locate(name_or_path, models_dir, revision)
    if held := find_other_commit(name_or_path, path, models_dir, revision):
        raise ModelError(
            f"{path} has commit {held[:12]} of {name_or_path}, not the requested one; "
            f"{fetch_command(name_or_path, models_dir, revision)}, or change `revision`",
            *_list_commands(name_or_path, models_dir, revision),
        )
    for file, expected in list_pins(name_or_path, path, models_dir, revision).items():
        if expected is not None and not file.is_file():
            raise _missing(name_or_path, models_dir, file, revision)
        if expected is not None and (found := digest_file(file)) != expected:
            raise ModelError(
                f"{file} is not the file that {name_or_path} names: its SHA-256 begins with {found[:12]}, expected is "
                f"{expected[:12]}; {fetch_command(name_or_path, models_dir, revision)}, "
                "or name another file by its absolute path",
                *_list_commands(name_or_path, models_dir, revision),
            )
        refuse_inflated(file)
    return path


def find_other_commit(name_or_path: str, path: Path, models_dir: Path, revision: str | None = None) -> str | None:
    """The commit that a fetched folder `path` of a hub model holds, if another one is asked for.

    Which commit a branch or a tag means is only known to the hub: it must be the one that was fetched by that name.
    """
    entry = list_weights().get(name_or_path)
    wanted = revision or (entry.revision if entry else None)
    record = read_lock(models_dir).get(name_or_path, {})
    if path != models_dir / name_or_path or wanted is None or "revision" not in record:
        return None
    found = record["revision"] if _is_commit(wanted) else record.get("asked")
    return record["revision"] if found != wanted else None


def list_pins(name_or_path: str, path: Path, models_dir: Path, revision: str | None = None) -> dict[Path, str | None]:
    """The files of weights and the SHA-256 that each must have.

    A file is pinned by the registry, else by what was recorded when it was fetched, else (None) not at all.

    Args:
        name_or_path: as in `locate`.
        path: where they are; a folder of the Hugging Face cache is pinned by the registry alone.
        models_dir: folder of weights.
        revision: as in `locate`; the registry pins the files of its own commit only.
    """
    entry, owner = list_weights().get(name_or_path), find_entry(name_or_path)
    name = owner.name if owner else name_or_path
    cached = is_hub_id(name_or_path) and path != models_dir / name_or_path
    pins: dict[str, str | None] = {} if cached else dict(read_lock(models_dir).get(name, {}).get("files", {}))
    # What was fetched must all be there; of other copies nobody knows which files they need.
    recorded = {models_dir / place: sha for place, sha in pins.items()}
    if owner and (revision is None or revision == owner.revision):
        pins |= {place: file.sha256 for place, file in owner.files.items() if file.sha256}
    if entry and not entry.hub:
        return {models_dir / place: pins.get(place) for place in entry.files}
    if not path.is_dir():
        return {path: pins.get(name_or_path)}
    return recorded | {file: pins.get(f"{name}/{file.relative_to(path).as_posix()}") for file in list_files(path)}


def identity(
    name_or_path: str, models_dir: Path, revision: str | None = None, files: Collection[str] | None = None
) -> str:
    """Name the content of weights, for provenance and to notice that they changed.

    Pinned weights are named by their pins, whether they are here or not: `resolve` refuses any other content.

    Args:
        name_or_path: as in `locate`.
        models_dir: folder of weights.
        revision: commit, branch or tag of a hub repository; default: the registry's.
        files: names of the files of a folder that count; None: all. A hub model at a known commit is named by that.

    Returns:
        `sha256:<16 hex digits>` of a file or of the files of a folder; `sealed:<16 hex digits>` of one that says what is in it
        (`storage.folders`), without its model card and its claim; `hub:<id>@<commit>` of a hub model that was fetched,
        and holds nothing else, or is pinned to a commit, with the revision's name where its commit is not known;
        `missing:<name>` where there is nothing yet.
    """
    entry, owner = list_weights().get(name_or_path), find_entry(name_or_path)
    path = models_dir / (entry.place if entry else name_or_path)
    lock = read_lock(models_dir).get(owner.name if owner else name_or_path, {})
    if is_hub_id(name_or_path) and (not path.is_dir() or _is_as_fetched(path, lock, models_dir)):
        wanted = revision or (entry.revision if entry else None)
        known = wanted if _is_commit(wanted) else lock.get("revision") or _find_commit(name_or_path, wanted)
        return f"hub:{name_or_path}@{known or wanted or 'main'}"
    if owner and not owner.hub:
        places = entry.files if entry else [name_or_path]
        pins = {place: owner.files[place].sha256 or lock.get("files", {}).get(place) for place in places}
        if all(pins.values()):
            return _combine({place: str(digest) for place, digest in pins.items()})
    if path.is_file():
        return _combine({path.name: digest_file(path)})
    if path.is_dir() and files is not None:
        return _combine({name: digest_file(path / name) for name in files if (path / name).is_file()})
    if path.is_dir() and folders.is_sealed(path):
        # Loading compares every byte with it.
        return f"sealed:{folders.read_identity(path)[:16]}"
    if path.is_dir():
        return _combine({str(file.relative_to(path)): digest_file(file) for file in list_files(path)})
    return f"missing:{name_or_path}"


def fetch_command(name_or_path: str, models_dir: Path, revision: str | None = None) -> str:
    """Advice on missing or wrong weights, as a clause."""
    entry = find_entry(name_or_path)
    if entry and not entry.can_be_fetched:
        return f"get it from {entry.source} (licence: {entry.licence}) and put it there"
    commands = _list_commands(name_or_path, models_dir, revision)
    return f"`{commands[0]}` gets it" if commands else "put the file there"


def _list_commands(name_or_path: str, models_dir: Path, revision: str | None) -> list[Command]:
    """The command that fetches weights; none where they cannot be fetched."""
    entry = find_entry(name_or_path)
    if not (entry.can_be_fetched if entry else is_hub_id(name_or_path)):
        return []
    name = entry.name if entry else name_or_path
    name = f"{name}@{revision}" if revision and is_hub_id(name) else name
    return [Command(f"emoadapt models fetch {name} --models-dir {shlex.quote(str(models_dir))}")]


def read_lock(models_dir: Path) -> dict[str, dict[str, Any]]:
    """What was recorded when weights were fetched: name -> `files` (path -> SHA-256).

    Of hub models also `revision`, the commit, and `asked`, the commit, branch or tag that was asked for.

    Raises:
        ModelError: the file cannot be understood.
    """
    file = models_dir / LOCK_FILE
    try:
        return {name: dict(entry) for name, entry in json.loads(file.read_text()).items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} cannot be read ({error}); delete it, and fetch the weights that it named again"
        ) from None


def _is_as_fetched(folder: Path, record: Mapping[str, Any], models_dir: Path) -> bool:
    """Whether a folder holds a fetched commit, and no file beside it, which a loader might prefer."""
    if "revision" not in record:
        return False
    return {file.relative_to(models_dir).as_posix() for file in list_files(folder)} <= set(record.get("files", {}))


def digest_file(path: Path, *, anew: bool = False) -> str:
    """SHA-256 of a file, read again only when its size, inode or a time of change is another, or if `anew`."""
    stat = path.stat()
    known, state = str(path.resolve()), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return _read_digest(known, state) if anew else _recall_digest(known, state)


@cache
def _recall_digest(path: str, state: tuple[int, ...]) -> str:
    known = _read_memory() if state[0] >= REMEMBERED_BYTES else {}
    if path in known and tuple(known[path][:-1]) == state:
        return known[path][-1]
    return _read_digest(path, state)


def _read_digest(path: str, state: tuple[int, ...]) -> str:
    digest = hash_file(Path(path))
    if state[0] >= REMEMBERED_BYTES:
        _write_memory({**_read_memory(), path: [*state, digest]})
    return digest


def hash_file(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emoadapt" / "weights.json"


def _read_memory() -> dict[str, list]:
    try:
        return read_cache(_memory_file()) or {}
    except RuntimeError:  # no home
        return {}


def _write_memory(entries: dict[str, list]) -> None:
    with suppress(RuntimeError):  # no home
        write_cache(_memory_file(), entries)


def _combine(digests: dict[str, str]) -> str:
    """One name for one or several digests; the name of a single file does not matter."""
    if len(digests) == 1:
        return f"sha256:{next(iter(digests.values()))[:16]}"
    text = "\n".join(f"{digests[file]}  {file}" for file in sorted(digests))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def list_files(folder: Path) -> list[Path]:
    """Files of a folder; hidden ones (download caches, version control) left out."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def holds_weights(folder: Path) -> bool:
    """Whether a folder has a configuration and weights in the Hugging Face format."""
    weights = (path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    return (folder / "config.json").is_file() and any(path.is_file() for path in weights)


def _find_cached(name: str, revision: str | None) -> Path | None:
    """Snapshot of a hub model in the Hugging Face cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder and holds_weights(folder) else None


def _find_commit(name: str, revision: str | None) -> str | None:
    folder = _find_cached(name, revision)
    return folder.name if folder else None


def _is_commit(revision: str | None) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None


def _missing(name: str, models_dir: Path, location: Path, revision: str | None = None) -> ModelError:
    """What is said of missing weights."""
    fixes: list[Fix] = [*_list_commands(name, models_dir, revision), Change("models_dir", "FOLDER", "that has them")]
    advice = fetch_command(name, models_dir, revision)
    entry = find_entry(name)
    wanted = revision or (entry.revision if entry else None) or "main"
    cache = f", and the Hugging Face cache lacks revision {wanted}" if is_hub_id(name) else ""
    if entry is None and (near := find_similar(name)):
        advice = f"did you mean {near}? If not, {advice}"
    if entry is None and not cache:
        said = f"there is no {location}; {advice}, set models_dir, or give an absolute path"
        return ModelError(f"weights {name!r} are missing: {said}", *fixes)
    licence = f" (licence: {entry.licence})" if entry and entry.can_be_fetched else ""
    return ModelError(
        f"weights {name!r} are missing: there is no {location}{cache}; {advice}{licence}, "
        "or set models_dir to the folder that has them",
        *fixes,
    )
