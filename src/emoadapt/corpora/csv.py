"""A user's own corpus: a table with one row per utterance.

The table is UTF-8 text with a header line, separated by tabs (`.tsv`, `.tab`) or by whichever of comma, tab,
semicolon and bar gives its header the most columns. Only mapped columns are read. Empty cells are nulls, and so are
words such as `unknown` and `NA` (`names.UNKNOWN`) for a speaker, a sex or a part; in a column of numbers they are refused. Segments of one file are rows with the same media
and different times. Each line is a row, unless the corpus's `quoting` lets cells span lines: see `delimited`.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from emoadapt.config.base import expand_variables
from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, ConfigError, CorpusError, find_near, show
from emoadapt.listing.accounts import Account
from emoadapt.listing.delimited import Reader, Table
from emoadapt.listing.extensions import MEDIA_EXTENSIONS
from emoadapt.listing.names import SEXES, is_unknown, note_unknown_words, parse_known

TERMS = None
LABELS = None
SPEAKERS_OF = "root"
MEDIA_IN_TABLES = True


class Config(Corpus):
    """A CSV or TSV table with one row per utterance, columns mapped by name."""

    importer: Literal["csv"]
    file: str
    """The table; relative paths are relative to `root`."""
    columns: dict[
        Literal[
            "media",
            "start",
            "end",
            "speaker",
            "sex",
            "language",
            "split",
            "transcript",
            "label",
            "arousal",
            "valence",
            "dominance",
        ],
        str,
    ] = Field({"media": "file"})
    """Column of emoadapt -> column of the table. `media` is required; other columns of the table are not read."""
    extension: str = Field("", pattern=r"^(\.\w+)?$")
    """Extension to add to each cell of `media`, such as `.wav`."""
    quoting: Literal["standard", "multiline", "none"] = "standard"
    """`standard`: a cell in double quotes may contain the separator, but no line end: a row with an unclosed quotation mark is refused.
    `multiline`: it may contain line ends too. `none`: quotation marks are ordinary characters, as in the tables of Common Voice."""

    @field_validator("file")
    @classmethod
    def _expand_file(cls, value: str) -> str:
        return expand_variables(value)


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return f"column {config.columns.get('label', 'label')!r} of {config.file.rsplit('/', 1)[-1]}"


def annotation_files(config: Config) -> list[Path]:
    """The table itself."""
    return [Path(config.root) / config.file]


def tables(config: Config) -> list[Path]:
    """The table itself, which names the media too."""
    return annotation_files(config)


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per row.

    Raises:
        CorpusError: the table or one of its columns is missing, or a row cannot be read (line numbers are named).
    """
    rows = _read_rows(name, config, ("media", "start", "end", "speaker", "sex", "language", "split", "transcript"))
    return [
        Utterance(
            *row.identify(name),
            speaker=parse_known(row.text("speaker")),
            sex=row.sex(),
            language=row.text("language") or None,
            split=row.text("split") or None,
            transcript=row.text("transcript") or None,
        )
        for row in rows
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """One label row per row; an empty label is null.

    Raises:
        CorpusError: as `list_utterances`.
    """
    rows = _read_rows(name, config, ("media", "start", "end", "label", "arousal", "valence", "dominance"))
    return [
        Label(
            row.identify(name)[0],
            row.text("label") or None,
            arousal=row.number("arousal"),
            valence=row.number("valence"),
            dominance=row.number("dominance"),
        )
        for row in rows
    ]


def account_rows(name: str, config: Config) -> Account:
    """Every row that is not blank is a clip."""
    _, table = _read_table(name, config)
    return Account(config.file, len(table.rows), len(list_utterances(name, config)), shape=table.describe())


def find_lines(name: str, config: Config) -> dict[str, str]:
    """Utterance id -> the table and the line that it stands in."""
    rows = _read_rows(name, config, ("media", "start", "end"))
    return {row.identify(name)[0]: f"{annotation_files(config)[0]}, line {row.line}" for row in rows}


def list_notes(name: str, config: Config) -> list[str]:
    """Words in the table that are taken for unknown names, with the number of their cells."""
    kinds = {"speaker": "speaker", "sex": "sex", "split": "part"}
    rows = list(_read_rows(name, config, tuple(kinds)))
    return [
        note
        for column, kind in kinds.items()
        for note in note_unknown_words(kind, (row.text(column) for row in rows), "which means unknown")
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table, its cells under our column names."""

    where: str
    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        return self.cells.get(column, "")

    def number(self, column: str) -> float | None:
        text = self.text(column)
        if not text:
            return None
        # `float` also takes 3_4, other scripts' digits, nan and infinity.
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            hint = " (a cell without a value must be empty)" if is_unknown(text) else ""
            raise self.refuse(f"{column} is {text!r}, not a number{hint}")
        return float(text)

    def sex(self) -> str | None:
        text = self.text("sex")
        if is_unknown(text):
            return None
        if text.lower() not in SEXES:
            raise self.refuse(f"sex is {text!r}, allowed is female, male, f, m, unknown or an empty cell")
        return SEXES[text.lower()]

    def identify(self, name: str) -> tuple[str, str, float | None, float | None]:
        """Utterance id, media, start (s), end (s)."""
        if not self.text("media"):
            raise self.refuse("the media cell is empty")
        media = posixpath.normpath(self.text("media"))
        start, end = self.number("start"), self.number("end")
        if start is not None and start < 0:
            raise self.refuse(f"start is {start:g} s, before the beginning of the file")
        if end is not None and end <= (start or 0.0):
            raise self.refuse(f"end ({end:g} s) does not lie after start ({start or 0.0:g} s)")
        return make_utterance_id(name, media, start, end), media, start, end

    def refuse(self, problem: str) -> CorpusError:
        return CorpusError(f"{self.where}, line {self.line}: {problem}; correct the table")


def _read_rows(name: str, config: Config, wanted: tuple[str, ...]) -> Iterator[_Row]:
    where, table = _read_table(name, config)
    columns = {str(ours): theirs for ours, theirs in config.columns.items() if ours in wanted}
    positions = _locate_columns(name, where, table.header, columns, config)
    for line, cells in zip(table.lines, table.rows, strict=True):
        row = {ours: cells[at].strip() for ours, at in positions.items()}
        if row.get("media"):
            row["media"] += config.extension
        yield _Row(where, line, row)


def _read_table(name: str, config: Config) -> tuple[str, Table]:
    """The table, and how messages name it."""
    if "media" not in config.columns:
        raise ConfigError(
            f"corpora.{name}.columns: media is not mapped; name the column with the file paths",
            Change(f"corpora.{name}.columns.media", "COLUMN"),
        )
    path = annotation_files(config)[0]
    where = f"corpus {name}: {path}"
    reader = Reader(
        where,
        "correct the table (quote cells that hold the separator)",
        separator="\t" if path.suffix.lower() in (".tsv", ".tab") else None,
        quoting=config.quoting,
        quoting_remedy=f"set corpora.{name}.quoting: none if the table is written without quoting, as Common Voice's are, or "
        "quoting: multiline if its cells hold line breaks; else correct the quotation mark",
        strict=True,
    )
    try:
        return where, reader.read(path)
    except FileNotFoundError:
        raise CorpusError(
            f"{where}: this table does not exist; correct corpora.{name}.file (relative to its root)",
            Change(f"corpora.{name}.file", "FILE"),
        ) from None
    except OSError as error:
        raise CorpusError(
            f"{where}: cannot be read ({error.strerror}); correct corpora.{name}.file",
            Change(f"corpora.{name}.file", "FILE"),
        ) from None


def _locate_columns(
    name: str, where: str, header: list[str], columns: Mapping[str, str], config: Config
) -> dict[str, int]:
    # All mapped columns are looked for, so that a wrong label column is refused before features are computed.
    if missing := sorted(theirs for theirs in config.columns.values() if theirs not in header):
        if clip := next((cell for cell in header if posixpath.splitext(cell.lower())[1] in MEDIA_EXTENSIONS), None):
            raise CorpusError(
                f"{where}: does line 1 hold a clip ({clip})? The table needs a header that names its columns"
            )
        near = {theirs: found for theirs in missing if (found := find_near(theirs, header))}
        meant = f"did you mean {', '.join(near.values())}? There" if near else "there"
        right = {
            ours: near.get(theirs, "COLUMN" if theirs in missing else theirs) for ours, theirs in config.columns.items()
        }
        raise CorpusError(
            f"{where}: no column {show(missing)}; {meant} are {', '.join(header)}; correct corpora.{name}.columns",
            Change(f"corpora.{name}.columns", right, f"the table has {', '.join(header)}"),
        )
    if doubled := sorted({theirs for theirs in columns.values() if header.count(theirs) > 1}):
        raise CorpusError(f"{where}: more than one column is called {show(doubled)}; rename them")
    return {ours: header.index(theirs) for ours, theirs in columns.items()}
