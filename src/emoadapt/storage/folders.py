"""Folders of files that are one output: a saved model, the tables or the figures of a report.

A sealed folder holds `contents.json`: size and SHA-256 of each of its files, the claim, the identity of the folder (a digest of
names and digests), and a digest of `contents.json` itself. A person may edit the model card `README.md` and add hidden files:
these are not listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from emoadapt.errors import DataError
from emoadapt.storage.claims import Claim, current_claim
from emoadapt.storage.files import write_text
from emoadapt.storage.footers import Damaged, digest_bytes

CONTENTS = "contents.json"


class _File(TypedDict):
    size: int
    sha256: str


class _Contents(TypedDict):
    files: dict[str, _File]
    identity: str
    made: NotRequired[str]
    inputs: NotRequired[str]
    seal: NotRequired[str]


def seal_folder(folder: Path) -> None:
    """Write the `contents.json` of a folder, with the current claim (`emoadapt.storage.claims`).

    Sealed folders in it were read whole when they were sealed, and are not read again.
    """
    files: dict[str, _File] = {}
    for name, path in _list_files(folder).items():
        known = read_contents(path.parent)["files"] if path.parent != folder and is_sealed(path.parent) else {}
        files[name] = known.get(path.name) or {"size": path.stat().st_size, "sha256": _digest_file(path)}
    contents: _Contents = {"files": files, "identity": digest_bytes(json.dumps(files).encode())}
    if claim := current_claim():
        contents |= {"made": claim.made, "inputs": claim.inputs}
    write_text(folder / CONTENTS, json.dumps({**contents, "seal": _seal(contents)}, indent=1) + "\n")


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a `contents.json`; models from elsewhere have none."""
    return (folder / CONTENTS).is_file()


def verify_folder(folder: Path, *, whole: bool = False, refused: Collection[str] | None = None) -> None:
    """Compare the files of a folder with its `contents.json`.

    Args:
        folder: a sealed folder.
        whole: read every byte; else only names and sizes are compared.
        refused: suffixes of files that may not be added; None: no file may.

    Raises:
        Damaged: a file is missing, was added, or was changed.
        DataError: the folder is not sealed.
    """
    listed, found = read_contents(folder)["files"], _list_files(folder)
    found = {name: path for name, path in found.items() if name in listed or refused is None or path.suffix in refused}
    for name in sorted(listed.keys() | found.keys()):
        if problem := _compare(listed.get(name), found.get(name), whole):
            raise Damaged(f"{folder / name} {problem}; {_advise(folder)}")


def _compare(listed: _File | None, path: Path | None, whole: bool) -> str | None:
    """What is wrong with a file."""
    if path is None:
        return "is missing"
    if listed is None:
        return "was added after the folder was written"
    if (size := path.stat().st_size) != listed["size"]:
        return f"has {size:,} bytes, and {listed['size']:,} were written"
    return "is not what was written (its SHA-256 differs)" if whole and _digest_file(path) != listed["sha256"] else None


def _advise(folder: Path) -> str:
    return f"copy the whole folder {folder} again, or delete it and run again; if you changed it yourself, delete its {CONTENTS}"


def read_identity(folder: Path) -> str:
    """Digest of the names and contents of the files of a folder, as its `contents.json` states it.

    Raises:
        DataError: as `read_contents`.
    """
    return read_contents(folder)["identity"]


def read_claim(folder: Path) -> Claim | None:
    """What a folder was made from; None where it was not stated.

    Raises:
        DataError: as `read_contents`.
    """
    contents = read_contents(folder)
    return Claim(contents["made"], contents["inputs"]) if "made" in contents else None


def read_contents(folder: Path) -> _Contents:
    """The `contents.json` of a folder, once it was compared with its own digest.

    Raises:
        Damaged: it was changed.
        DataError: there is none.
    """
    path = folder / CONTENTS
    try:
        found: Any = json.loads(path.read_bytes())
        whole = found.pop("seal") == _seal(found)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_advise(folder)}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise Damaged(f"{path} is not what was written; {_advise(folder)}")
    return found


def _seal(contents: _Contents) -> str:
    return digest_bytes(json.dumps(contents).encode())


def _list_files(folder: Path) -> dict[str, Path]:
    """Name below the folder -> file, sorted; without hidden files and those that may be edited."""
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in sorted(paths.items())
        if name != Path(CONTENTS) and name.name != "README.md" and not any(part.startswith(".") for part in name.parts)
    }


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
