"""Shared code of importers of published corpora: file names, recordings, tables.

Files decide what a corpus holds. A clip that the annotations do not know is refused by its importer, or is unlabelled
where the distribution has such clips. An annotated clip without a file is passed over, since videos vanish from the
web and disks hold parts of corpora, and counted (`accounts`), so that nobody trains on half a corpus unawares.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from emoadapt.errors import Change, CorpusError, show
from emoadapt.listing.delimited import Chooser, Reader, Table
from emoadapt.listing.extensions import VIDEO_EXTENSIONS
from emoadapt.listing.folders import find_media
from emoadapt.listing.names import SEXES

Clip = tuple[str, re.Match[str]]
"""A media file's relative path, and what its name tells."""

_RESTORE = "restore the corpus's own table"
_RESTORE_FILE = "restore the corpus's own file"


def find_clips(
    name: str,
    root: str | Path,
    pattern: re.Pattern[str],
    example: str,
    *,
    below: Sequence[str] = ("",),
    ignore: Callable[[str], bool] | None = None,
) -> list[Clip]:
    """Media files whose whole relative path matches a pattern, sorted by path.

    Args:
        name: the corpus's name, for messages.
        root: folder that paths are relative to.
        pattern: names as distributed.
        example: a name as distributed and its corpus, for the message.
        below: folders under the root that are looked into; those that do not exist are passed over.
        ignore: tells paths that are left out before their names are looked at.

    Raises:
        CorpusError: a media file is named otherwise.
    """
    media: list[str] = []
    for folder in below:
        prefix = f"{folder}/" if folder else ""
        if Path(root, folder).is_dir():
            media += [prefix + path for path in find_media(Path(root, folder))]
    clips, unknown = [], []
    for path in sorted(media):
        if ignore is not None and ignore(path):
            continue
        parts = pattern.fullmatch(path)
        if parts is None:
            unknown.append(path)
        else:
            clips.append((path, parts))
    if unknown:
        raise CorpusError(
            f"corpus {name}: not named like {example}: {show(unknown)}; "
            f"move them out of the root, or set corpora.{name}.importer: folder",
            Change(f"corpora.{name}.importer", "folder"),
        )
    return clips


def choose_recordings(
    name: str,
    clips: Iterable[Clip],
    modalities: Collection[str],
    identify: Callable[[Clip], str] = lambda clip: clip[1]["clip"],
) -> list[Clip]:
    """One recording per clip where there are two, with picture and without.

    Args:
        name: the corpus's name, for messages.
        clips: files as from `find_clips`.
        modalities: the recording with picture is kept if they name video, else the one without.
        identify: what is equal for recordings of one clip (default: the group `clip` of the pattern).

    Returns:
        The kept files, sorted by path.

    Raises:
        CorpusError: two files of one clip of the same kind, such as copies in two folders.
    """
    wanted = "video" in modalities
    kept: dict[str, Clip] = {}
    repeated = []
    for clip in clips:
        other = kept.setdefault(identify(clip), clip)
        if other is clip:
            continue
        if _has_picture(other[0]) == _has_picture(clip[0]):
            repeated.append(f"{other[0]} = {clip[0]}")
        elif _has_picture(clip[0]) == wanted:
            kept[identify(clip)] = clip
    if repeated:
        raise CorpusError(f"corpus {name}: the same recording twice: {show(repeated)}; remove one copy of each")
    return sorted(kept.values(), key=lambda clip: clip[0])


def find_annotation(name: str, folders: Iterable[str | Path], names: Sequence[str], source: str) -> Path:
    """The first file of one of these names in one of these folders.

    Args:
        name: the corpus's name, for the message.
        folders: where it may lie, in order; the first is named when it is missing.
        names: what it may be called, in order, folders first (`Labels/labels_consensus.csv`).
        source: where the corpus comes from.

    Raises:
        CorpusError: there is none.
    """
    places = [Path(folder) for folder in folders]
    for place in places:
        for candidate in names:
            if (path := place / candidate).is_file():
                return path
    raise CorpusError(
        f"corpus {name}: {' or '.join(names)} is missing under {places[0]}; it comes with the corpus ({source}): "
        f"put it there, or set corpora.{name}.annotations to its folder",
        Change(f"corpora.{name}.annotations", "FOLDER"),
    )


def read_table(path: Path, name: str, columns: Sequence[str], *, delimiter: str = ",") -> list[Sequence[str]]:
    """Columns of a table with a header, as text without blanks before it.

    Args:
        path: the table.
        name: the corpus's name, for messages.
        columns: header names, in the order in which their cells are wanted; capitals do not matter.
        delimiter: between cells.

    Returns:
        One tuple per row that is not blank.

    Raises:
        CorpusError: a column is missing or there twice, or a row cannot be read for sure (see `delimited`).
    """
    wanted = [column.lower() for column in columns]

    def choose(header: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
        header = [cell.lower() for cell in header]
        if missing := [column for column in columns if column.lower() not in header]:
            raise CorpusError(f"corpus {name}: {path} has no column {show(missing)}; {_RESTORE}")
        if doubled := [column for column in columns if header.count(column.lower()) > 1]:
            raise CorpusError(f"corpus {name}: {path} has more than one column {show(doubled)}; {_RESTORE}")
        places = [header.index(column) for column in wanted]
        # Taking cells in C and not stripping each halves the time of the largest corpora.
        return itemgetter(*places) if len(places) > 1 else lambda cells: (cells[places[0]],)

    return _read(path, name, delimiter, True, choose).rows


def read_cells(path: Path, name: str) -> Table:
    """All cells of a table without a header, and their line numbers.

    Raises:
        CorpusError: as `read_table`.
    """
    return _read(path, name, ",", False, None)


def _read(
    path: Path, name: str, delimiter: str, has_header: bool, choose: Callable[[list[str]], Chooser] | None
) -> Table:
    where = f"corpus {name}: {path}"
    reader = Reader(where, _RESTORE, delimiter, quoting_remedy=_RESTORE, skip_blanks=True, has_header=has_header)
    try:
        return reader.read(path, choose)
    except OSError as error:
        raise _unreadable(name, path, error.strerror) from None


def read_lines(path: Path, name: str, *, encoding: str = "utf-8-sig") -> list[str]:
    """Stripped lines of a text.

    Raises:
        CorpusError: the file is missing or no such text.
    """
    try:
        # Not `splitlines`, which ends a line at each ellipsis of Windows-1252 that is read as Latin-1.
        return [line.strip() for line in path.read_text(encoding=encoding).removesuffix("\n").split("\n")]
    except FileNotFoundError:
        raise CorpusError(f"corpus {name}: {path} is missing; it comes with the corpus: put it there") from None
    except UnicodeDecodeError as error:
        raise _unreadable(name, path, error) from None


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CorpusError: the file holds something else, or a key twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_refuse_repeated_keys)
    except ValueError as error:
        raise _unreadable(name, path, error) from None
    if not isinstance(content, dict):
        raise _unreadable(name, path, "not an object")
    return content


def parse_number(text: Any) -> float | None:
    """A finite number, or None for an empty cell, `NaN` and the like."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def parse_sex(text: str | None) -> str | None:
    """`Male`, `F`, ... -> male or female; None for everything else, such as `Unknown`."""
    return SEXES.get((text or "").strip().lower())


def map_code(name: str, path: Path, codes: dict[str, str | None], code: str, clip: str) -> str | None:
    """The label that an annotation file's code stands for.

    Raises:
        CorpusError: the code is none of them.
    """
    try:
        return codes[code]
    except KeyError:
        raise CorpusError(
            f"corpus {name}: {path}: the label {code!r} of {clip} is none of {' '.join(codes)}; {_RESTORE_FILE}"
        ) from None


def refuse_turn(name: str, path: Path, number: int, form: str, line: str) -> CorpusError:
    """The error for a line of an evaluation that begins like a turn and is none.

    Args:
        name: the corpus's name.
        path: the evaluation.
        number: of the line, from 1.
        form: that of a turn's line.
        line: as it was found.
    """
    return CorpusError(
        f"corpus {name}: {path}, line {number}: no line of a turn ({form}): {line[:80]!r}; {_RESTORE_FILE}"
    )


def refuse_unannotated(name: str, media: Sequence[str], what: str) -> None:
    """Refuse clips that the annotations do not know.

    Args:
        name: the corpus's name.
        media: the clips' files.
        what: what they are not in (`labels_consensus.csv`).

    Raises:
        CorpusError: there are any.
    """
    if media:
        raise CorpusError(
            f"corpus {name}: {len(media)} clips are not in {what}: {show(media)}; "
            "take it from the same release of the corpus as the media, or move these files out of the root"
        )


def stem(path: str) -> str:
    """A file's name without folders and extension."""
    return posixpath.splitext(posixpath.basename(path))[0]


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ValueError(f"it holds {show(repeated)} more than once")
    return content


def _has_picture(path: str) -> bool:
    return posixpath.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def _unreadable(name: str, path: Path, problem: object) -> CorpusError:
    return CorpusError(f"corpus {name}: {path} cannot be read ({problem}); {_RESTORE_FILE}")
