"""Transcripts and languages that a person gives with the files that are to be predicted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os.path import abspath  # does not follow links, and knows no path that it cannot answer for
from pathlib import Path

from emoadapt.errors import ConfigError, CorpusError, show
from emoadapt.listing.delimited import Reader, Table

TABLES = (".csv", ".tsv")
"""Suffixes of tables; any other file has one text per line."""
_FORMS = {
    "text": "they are UTF-8 text: a table with the columns file and text, or a text per line",
    "language": "they are a UTF-8 table with the columns file and language",
}


def read_transcripts(path: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Read what is said in each file.

    Args:
        path: a table (`.csv`, `.tsv`) with the columns `file`, as named on the command line or relative to the folder of the table,
            and `text`; or one text per line, in the order of the files.
        files: that are to be predicted.

    Returns:
        File -> text, empty where nothing is said.

    Raises:
        ConfigError: it cannot be read, lacks a column or a file, or has one twice.
    """
    try:
        return _read_table(path, files, "text") if is_table(path) else _read_lines(path, files)
    except (OSError, UnicodeDecodeError, CorpusError) as error:
        raise ConfigError(_describe(path, error, "transcripts", _FORMS["text"])) from None


def read_languages(path: Path, files: Sequence[Path], *, required: bool = True) -> dict[Path, str]:
    """Read the language of each file.

    Args:
        path: a table (`.csv`, `.tsv`) with the columns `file`, as that of `read_transcripts` has it, and `language`, an ISO 639-1 code.
        files: that are to be predicted.
        required: whether the column must be there.

    Returns:
        File -> code, without files whose cell is empty.

    Raises:
        ConfigError: it cannot be read, lacks a column or a file, or has one twice.
    """
    try:
        found = _read_table(path, files, "language", required=required)
    except (OSError, UnicodeDecodeError, CorpusError) as error:
        raise ConfigError(_describe(path, error, "languages", _FORMS["language"])) from None
    return {file: code.strip() for file, code in found.items() if code.strip()}


def is_table(path: str | Path) -> bool:
    """Whether a file is a table by its name."""
    return Path(path).suffix.lower() in TABLES


def _describe(path: Path, error: Exception, kind: str, form: str) -> str:
    if isinstance(error, CorpusError):
        return str(error)
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return f"the {kind} {path} cannot be read ({reason}); {form}"


def _read_lines(path: Path, files: Sequence[Path]) -> dict[Path, str]:
    content = path.read_text(encoding="utf-8-sig")
    lines = content.removesuffix("\n").split("\n") if content else []
    if len(lines) != len(files):
        raise ConfigError(
            f"{path} has {len(lines)} lines for {len(files)} files; write one text per line in the order of the files, an empty line for "
            "a file without words, or a .csv with the columns file and text"
        )
    found: dict[Path, str] = {}
    for file, text in zip(files, lines, strict=True):
        if found.setdefault(file, text) != text:
            raise ConfigError(f"{file} is named twice, and {path} has two texts for it; name it once")
    return found


def _read_table(path: Path, files: Sequence[Path], column: str, *, required: bool = True) -> dict[Path, str]:
    """File -> cell of a column; nothing of a column that is not required and lacks."""
    where = f"{'transcripts' if column == 'text' else 'languages'} {path}"
    separator = "\t" if path.suffix.lower() == ".tsv" else None
    table = Reader(where, "correct the line", separator, "multiline", strict=True).read(path)
    if lacking := [name for name in ("file", column) if name not in table.header]:
        if not required:
            return {}
        raise ConfigError(
            f"{where} has no column {' and '.join(lacking)}, but {', '.join(table.header)}; it needs the columns file and {column}"
        )
    places, texts = _index(path, table, where, column)
    lines = {file: places[place] for file in files if (place := abspath(file)) in places}  # noqa: PTH100
    if missing := [str(file) for file in files if file not in lines]:
        raise ConfigError(
            f"{where} has no {column} for {len(missing)} of {len(files)} files: {show(missing)}; add rows for them, with an empty {column} "
            f"where {'nothing is said' if column == 'text' else 'it is not known'}"
        )
    if required and (others := len(texts.keys() - lines.values())):
        print(f"emoadapt: {others} rows of {path} are of files that are not predicted", file=sys.stderr)
    return {file: texts[line] for file, line in lines.items()}


def _index(path: Path, table: Table, where: str, column: str) -> tuple[dict[str, int], dict[int, str]]:
    """Absolute path of a file -> its line, and line -> cell; a relative path may begin here or in the folder of the table.

    Raises:
        ConfigError: a file has two rows.
    """
    file, text = (table.header.index(name) for name in ("file", column))
    places: dict[str, int] = {}
    for cells, line in zip(table.rows, table.lines, strict=True):
        name = cells[file].strip()
        for place in {abspath(name), abspath(path.parent / name)}:  # noqa: PTH100
            if (before := places.setdefault(place, line)) != line:
                raise ConfigError(f"{where} has {name} twice, in lines {before} and {line}; keep one of them")
    return places, {line: cells[text] for cells, line in zip(table.rows, table.lines, strict=True)}
