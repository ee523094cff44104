"""Tables that name the media of a folder."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from emoadapt.errors import CorpusError, show
from emoadapt.listing.delimited import Quoting, Reader, Table

SUFFIXES = (".csv", ".tsv", ".tab")
"""Suffixes of tables; all but the first are separated by tabs."""
MOST_BYTES = 200_000_000
"""Size above which a table is not read."""
SAMPLED = 200
"""Cells of a column that are looked up to find how it names files."""
ENOUGH = 0.5
"""Share of rows that must name media files."""


@dataclass(frozen=True)
class MediaTable:
    """A table that names media.

    Args:
        path: path of the table.
        quoting: quoting with which it can be read.
        table: its content.
        column: column that names the media.
        prefix: folder that the cells are relative to, with its slash; itself relative to the folder that was searched.
        extension: extension that the cells lack.
        media: media files that the rows name, relative to the folder that was searched.
        missing: cells that name no media file.
        strays: media files in other folders that have the name of a missing one.
        others: other tables that name media which this one does not.
    """

    path: Path
    quoting: Quoting
    table: Table
    column: str
    prefix: str
    extension: str
    media: Sequence[str]
    missing: Sequence[str]
    strays: Sequence[str] = ()
    others: Sequence[str] = ()

    @property
    def share(self) -> float:
        """Share of its rows that name a media file, if only by its name without folders."""
        return 1 - (len(self.missing) - len(self.strays)) / len(self.table.rows)

    def refuse_missing(self) -> None:
        """Refuse a table with rows whose file is missing.

        Raises:
            CorpusError: naming them.
        """
        if not self.missing:
            return
        advice = "add the files, or remove these rows"
        if self.strays:
            advice = f"{show(self.strays, 2)} is there: write paths with their folders, relative to one folder"
        raise CorpusError(
            f"{self.path}: {len(self.missing):,} of its {len(self.table.rows):,} rows name no media file below "
            f"{self.path.parent} (column {self.column}): {show(self.missing)}; {advice}"
        )


def find_table(
    folder: Path, media: Collection[str], others: Sequence[str]
) -> tuple[MediaTable | None, list[CorpusError]]:
    """Find the table that names most media of a folder.

    Args:
        folder: folder to search.
        media: its media files, relative paths.
        others: its other files, relative paths.

    Returns:
        The table, or None if no table names media; an error for each table that cannot be read.
    """
    found, faults = [], []
    for path in _list_tables(folder, others):
        try:
            quoting, table = _read(path)
        except CorpusError as error:
            faults.append(error)
            continue
        if (read := _find_media(path, quoting, table, media)) is not None and read.share >= ENOUGH:
            found.append(read)
    if not found:
        return None, faults
    best = max(found, key=lambda read: len({*read.media, *read.strays}))
    others = [read.path.name for read in found if not set(read.media) <= set(best.media)]
    return replace(best, others=others), faults


def _list_tables(folder: Path, others: Sequence[str]) -> list[Path]:
    """Tables by name, those nearest to the top first."""
    named = [path for path in others if path.lower().endswith(SUFFIXES)]
    paths = [folder / path for path in sorted(named, key=lambda path: (path.count("/"), path))]
    return [path for path in paths if _measure(path) <= MOST_BYTES]


def _measure(path: Path) -> int:
    """Bytes of a file; none of one that is not there, such as the target of a link: what is wrong is said when it is read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> tuple[Quoting, Table]:
    """A table with the strictest quoting that can read it.

    Raises:
        CorpusError: it cannot be read; the fault is that of standard quoting.
    """
    fault: CorpusError | None = None
    for quoting in get_args(Quoting):
        separator = "\t" if path.suffix.lower() in SUFFIXES[1:] else None
        reader = Reader(str(path), "correct the table", separator=separator, quoting=quoting, strict=True)
        try:
            return quoting, reader.read(path)
        except CorpusError as error:
            fault = fault or error
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    raise fault or CorpusError(f"{path}: cannot be read; correct the table")


def _find_media(path: Path, quoting: Quoting, table: Table, media: Collection[str]) -> MediaTable | None:
    """The column whose cells name most media files; None if no cell does."""
    index = _index(media)
    best: MediaTable | None = None
    for place, column in enumerate(table.header):
        cells = [_tidy(row[place]) for row in table.rows]
        votes = Counter(way for cell in cells[:: max(1, len(cells) // SAMPLED)] for way in _list_ways(cell, index))
        (prefix, extension), _ = votes.most_common(1)[0] if votes else (("", ""), 0)
        named = [prefix + cell + extension for cell in cells]
        missing = [cell or "(empty)" for cell, file in zip(cells, named, strict=True) if file not in index.paths]
        strays = [index.by_name[name][0] for cell in missing if (name := posixpath.basename(cell)) in index.by_name]
        if not votes and not strays:
            continue
        there = [file for file in named if file in index.paths]
        read = MediaTable(path, quoting, table, column, prefix, extension, there, missing, strays)
        if best is None or read.share > best.share:
            best = read
    return best


@dataclass(frozen=True)
class _Index:
    paths: Collection[str]
    by_name: dict[str, list[str]]
    """Name of a file, with and without its extension -> paths."""


def _index(media: Collection[str]) -> _Index:
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in media:
        name = posixpath.basename(path)
        for key in {name, posixpath.splitext(name)[0]}:
            by_name[key].append(path)
    return _Index(set(media), by_name)


def _list_ways(cell: str, index: _Index) -> Iterator[tuple[str, str]]:
    """Prefixes and extensions with which a cell names a file."""
    for path in index.by_name.get(posixpath.basename(cell), ())[:20] if cell else ():
        for extension in ("", posixpath.splitext(path)[1]):
            end = cell + extension
            if path == end or path.endswith(f"/{end}"):
                yield path[: len(path) - len(end)], extension
                break


def _tidy(cell: str) -> str:
    cell = cell.strip()
    return posixpath.normpath(cell) if cell else ""


def locate_from(root: Path, table: Path) -> str:
    """Path of a table relative to the root of its corpus."""
    return Path(os.path.relpath(table, root)).as_posix()
