"""Listing of folders: media files, other files and missing files."""

from __future__ import annotations

import errno
import os
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emoadapt.errors import CorpusError
from emoadapt.listing.extensions import MEDIA_EXTENSIONS
from emoadapt.listing.names import describe_counts

NO_EXTENSION = "no extension"
HIDDEN = "hidden"


@dataclass
class FolderContent:
    """All files below a folder.

    Attributes:
        media: sorted relative paths, as `find_media` lists them.
        others: sorted relative paths of the other files that are not hidden.
        hidden: number of hidden files and folders, which are not looked into.
    """

    media: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: int = 0


def find_media(root: str | Path, extensions: Collection[str] = MEDIA_EXTENSIONS) -> list[str]:
    """List media files below a folder as sorted relative paths with `/`.

    Hidden files and folders are skipped; links to folders are followed unless they lead back to a folder above.

    Args:
        root: the folder.
        extensions: lower-case extensions with the dot; a file's own may be in any case.

    Raises:
        CorpusError: a folder cannot be read.
    """
    return sorted(
        prefix + entry.name
        for prefix, entry in _walk(root)
        # The extension first: asking whether it is a file costs more. A dangling link is listed, so that it is reported as
        # missing media and not passed over.
        if _extension(entry.name) in extensions and not entry.name.startswith(".") and _counts(entry)
    )


def survey_folder(root: str | Path) -> FolderContent:
    """List all files below a folder, the media as `find_media` does.

    Raises:
        CorpusError: a folder cannot be read.
    """
    content = FolderContent()
    for prefix, entry in _walk(root):
        if entry.name.startswith("."):
            content.hidden += 1
        elif _counts(entry):
            kind = content.media if _extension(entry.name) in MEDIA_EXTENSIONS else content.others
            kind.append(prefix + entry.name)
    content.media.sort()
    content.others.sort()
    return content


def count_extensions(paths: Iterable[str], hidden: int = 0) -> str:
    """Describe files by their extensions, the most frequent first: `.txt 10, .json 2, no extension 1, hidden 3`."""
    counts = Counter(_extension(posixpath.basename(path)) or NO_EXTENSION for path in paths)
    return ", ".join(filter(None, [describe_counts(counts), f"{HIDDEN} {hidden}" if hidden else ""]))


def describe_passed_over(others: Collection[str], hidden: int) -> str | None:
    """`13 files are passed over: .txt 10, .json 3`; None where there are none."""
    if not (number := len(others) + hidden):
        return None
    return f"{number} {'file is' if number == 1 else 'files are'} passed over: {count_extensions(others, hidden)}"


def find_missing(media: Iterable[str], root: str | Path) -> list[str]:
    """Relative paths that are no files below the root, sorted.

    A link that leads back to itself is listed, as a clip that cannot be read: no disk that is mounted later changes it.
    A link to a missing file is missing too, since its disk may be.
    """
    # One listing per folder is several times cheaper than asking for each file, above all on network disks.
    by_folder: dict[str, list[str]] = {}
    for relative in media:
        by_folder.setdefault(posixpath.dirname(relative), []).append(relative)
    missing: list[str] = []
    for folder, paths in by_folder.items():
        path = Path(root, folder)
        entries = _list_folder(path) if path.is_dir() else []
        names = {entry.name for entry in entries if _is_file(entry) or _leads_to_itself(entry)}
        missing += [relative for relative in paths if posixpath.basename(relative) not in names]
    return sorted(missing)


def _walk(root: str | Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(relative folder with its slash, entry) of files and of hidden folders, which are not entered."""
    pending = [(os.fspath(root), "", frozenset([_identify_folder(root)]))]
    while pending:
        folder, prefix, above = pending.pop()
        for entry in _list_folder(folder):
            if entry.name.startswith(".") or not _is_folder(entry):
                yield prefix, entry
                continue
            identity = _identify_folder(entry.path)
            if identity not in above:
                pending.append((entry.path, f"{prefix}{entry.name}/", above | {identity}))


def _counts(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or _is_file(entry)


def _extension(name: str) -> str:
    """Lower-case extension with the dot; several times faster than `posixpath.splitext`."""
    stem, dot, extension = name.rpartition(".")
    return (dot + extension).lower() if stem else ""


def _list_folder(path: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise CorpusError(
            f"the folder {path} cannot be read ({error.strerror}); make it readable, or move it out of the root"
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _leads_to_itself(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _identify_folder(path: str | Path) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_dev, status.st_ino
