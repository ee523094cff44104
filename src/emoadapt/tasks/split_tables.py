"""Split tables: the part or fold of each utterance. Light."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emoadapt.errors import Change, CorpusError, find_near, show
from emoadapt.flow.code import digest
from emoadapt.listing.delimited import Reader
from emoadapt.listing.names import normalise_name, suggest_name

if TYPE_CHECKING:
    from emoadapt.config import Split, TableSplit

PART_NAMES = {
    "train": "train",
    **dict.fromkeys(("dev", "devel", "development", "valid", "val", "validation"), "dev"),
    "test": "test",
}
"""Name of a part in the table, in small letters -> part."""


class Row(NamedTuple):
    """A row of the table.

    Args:
        partition: its name; empty where the table has no such column.
        utterance: an id, with or without the corpus's name, or a recording with all its segments.
        group: a part (train, dev, test), or the name of a fold.
        line: where it stands.
    """

    partition: str
    utterance: str
    group: str
    line: int


def read_split_table(split: TableSplit) -> tuple[Row, ...]:
    """Read the table of a split.

    Raises:
        CorpusError: the table or a column is missing, a cell is empty, a part has another name, or a row cannot be read.
    """
    try:
        found = Path(split.file).stat()
        return _read(split, found.st_mtime_ns, found.st_size)
    except OSError as error:
        reason = (
            "this table does not exist"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read ({error.strerror})"
        )
        raise CorpusError(f"{split.file}: {reason}; correct the task's split.file", Change("split.file")) from None


@lru_cache(maxsize=8)
def _read(split: TableSplit, _changed: int, _size: int) -> tuple[Row, ...]:
    """The rows, remembered while the file is the same: the graph asks several times."""
    path, columns = Path(split.file), split.columns
    reader = Reader(
        split.file,
        "correct the table",
        separator="\t" if path.suffix.lower() in (".tsv", ".tab") else None,
        strict=True,
    )
    table = reader.read(path)
    wanted = [columns.partition, columns.utterance, columns.fold or columns.part]
    for name in filter(None, wanted):
        if table.header.count(name) != 1:
            found = "more than one column" if name in table.header else "no column"
            used = {key: value for key, value in columns if value}
            key = next(key for key, value in used.items() if value == name)
            near = None if name in table.header else find_near(name, table.header)
            meant = f"did you mean {near}? There" if near else "there"
            raise CorpusError(
                f"{split.file}: {found} is called {name}; {meant} are {', '.join(table.header)}; correct the task's split.columns",
                Change("split.columns", {**used, key: near or "COLUMN"}, f"of {', '.join(table.header)}"),
            )
    places = [table.header.index(name) if name else None for name in wanted]
    rows = []
    for line, cells in zip(table.lines, table.rows, strict=True):
        values = ["" if place is None else normalise_name(cells[place]) for place in places]
        if empty := [name for name, value in zip(wanted, values, strict=True) if name and not value]:
            raise CorpusError(
                f"{split.file}, line {line}: {' and '.join(empty)} is empty; fill the cell, or take the row out"
            )
        rows.append(Row(*values, line))
    return tuple(rows if columns.fold else (_name_part(split.file, row) for row in rows))


def _name_part(file: str, row: Row) -> Row:
    part = PART_NAMES.get(row.group.lower())
    if part is None:
        raise CorpusError(f"{file}, line {row.line}: the part is {row.group!r}; write train, dev or test")
    return row._replace(group=part)


def describe_split_table(split: Split, partition: int = 0) -> str:
    """Digest of what the table of a split says of a partition, whatever the order of its rows; empty for a split without one.

    Raises:
        CorpusError: as `read_split_table`.
    """
    if split.by != "table":
        return ""
    kind = "part" if split.columns.fold is None else "fold"
    rows = read_split_table(split)
    name = (list_partitions(rows)[partition:] or [None])[0]
    return digest(kind, sorted(row[:3] for row in rows if row.partition == name))


def list_partitions(rows: Iterable[Row]) -> list[str]:
    """Names of the partitions in their order: by number, or else by name."""
    return _order({row.partition for row in rows})


def list_folds(split: TableSplit, rows: Sequence[Row]) -> list[str]:
    """Names of the folds in their order: by number, or else by name.

    Raises:
        CorpusError: there are fewer than three, or a partition lacks one.
    """
    folds = _order({row.group for row in rows})
    if len(folds) < 3:
        raise CorpusError(
            f"{split.file}: {len(folds)} folds ({show(folds)}) cannot be train, dev and test in turn; make three or more"
        )
    by_partition: dict[str, set[str]] = {}
    for row in rows:
        by_partition.setdefault(row.partition, set()).add(row.group)
    for partition, found in by_partition.items():
        if missing := [fold for fold in folds if fold not in found]:
            raise CorpusError(
                f"{split.file}: partition {partition} has no row of fold {show(missing)}; each partition needs the same folds"
            )
    return folds


def place_utterances(split: TableSplit, corpus: str, rows: Iterable[Row], known: Collection[str]) -> Mapping[str, str]:
    """Give the utterances that the rows of a partition name their part or fold.

    Args:
        split: for messages.
        corpus: the corpus they belong to.
        rows: of one partition.
        known: all utterance ids of the corpus.

    Returns:
        Utterance id -> part, or name of a fold; utterances that no row names are left out.

    Raises:
        CorpusError: a row names nothing in the corpus, or two name the same utterance.
    """
    whole = known if isinstance(known, set | frozenset) else set(known)
    segments: dict[str, list[str]] = {}
    for name in whole:
        segments.setdefault(name.partition("#")[0], []).append(name)
    placed: dict[str, Row] = {}
    unknown: list[Row] = []
    for row in rows:
        full = f"{corpus}/{row.utterance}"
        named = next(([name] for name in (row.utterance, full) if name in whole), None)
        named = named or segments.get(row.utterance) or segments.get(full) or []
        unknown += [] if named else [row]
        for name in named:
            if (other := placed.setdefault(name, row)) is not row:
                raise CorpusError(
                    f"{split.file}, lines {other.line} and {row.line}: both name {name}; keep one row for each utterance"
                    f"{f' and partition ({row.partition})' if row.partition else ''}"
                )
    if unknown:
        first = unknown[0].utterance.removeprefix(f"{corpus}/")
        close = suggest_name(first, [name.removeprefix(f"{corpus}/") for name in sorted(whole | segments.keys())])
        raise CorpusError(
            f"{split.file}: corpus {corpus} has no utterance {show(f'{row.utterance} (line {row.line})' for row in unknown)}; "
            f"{f'is {close} meant? ' if close else ''}correct the table, or take the rows out"
        )
    return {name: row.group for name, row in placed.items()}


def _order(names: Iterable[str]) -> list[str]:
    listed = sorted(set(names))
    return sorted(listed, key=int) if all(name.isdecimal() and name.isascii() for name in listed) else listed
