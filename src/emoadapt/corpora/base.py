"""Interface of an importer, a module `emoadapt.corpora.<importer>`, and its rows.

It declares at its top, as literals:

* `TERMS`: terms of the corpus's licence, as model cards state them; None = unknown, as for a user's own files;
* `LABELS`: source of its labels: `acted`, `perceived` (by raters) or `mixed`; None = it depends on the section, and
  `describe_labels(config) -> str` returns it. That function can also replace the usual words;
* `SPEAKERS_OF`: namespace of its speakers: `corpus` = the same people in every copy of the corpus, `root` = people of one folder;
* optionally `GENERATED = True`: a job generates its media, and `fingerprints` returns their fingerprints before;
* optionally `NAMES = re.compile(...)`: pattern of its media files' relative paths. `emoadapt new-study` recognises the corpus by it;
* optionally `MEDIA_IN_TABLES = True`: its list depends on `tables` alone, so that no folder need be listed to know whether it changed.

It has a section `Config`, a `Corpus` or `AnnotatedCorpus` whose key `importer` is the module's name, and

* `list_utterances(name, config) -> list[Utterance]`: its utterances;
* `list_labels(name, config) -> list[Label]`: their labels;
* optionally `annotation_files(config) -> list[Path]`: the tables with labels;
* optionally `account_rows(name, config) -> Account`: the account of its tables' rows (see `listing.accounts`). Each row becomes a
  clip or is left out for a named reason;
* optionally `find_lines(name, config) -> dict[str, str]`: utterance id -> table and line, for messages;
* optionally `list_notes(name, config) -> list[str]`: sentences on anything else that the listing passed over;
* optionally `tables(config) -> list[Path]`: every file besides the media that listing reads. The list is then remembered while these
  tables, the media files and their names stay as they are;
* optionally `fingerprints(name, config) -> dict[str, str]`: media -> fingerprint, for an importer that makes its media itself, so that
  neither folder nor files need to exist when the corpus is listed.

The Snakefile lists corpora whenever it is parsed: importers use the standard library and pydantic only. `listing.annotations` reads
tables and names of files for them, `listing.named_files` is enough for a corpus whose file names hold clip, speaker and emotion.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from emoadapt.listing.names import normalise_path

_TIMES = re.compile(r"#\d+\.\d{2,3}-(?:\d+\.\d{2,3}|end)$")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest, without the fingerprint; see `schema.MANIFEST`."""

    utterance_id: str
    media: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    sex: str | None = None
    language: str | None = None
    split: str | None = None
    transcript: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """One row of a label table; see `schema.LABELS`."""

    utterance_id: str
    label: str | None = None
    votes: dict[str, float] | None = None
    soft: dict[str, float] | None = None
    arousal: float | None = None
    valence: float | None = None
    dominance: float | None = None


def make_utterance_id(corpus: str, media: str, start: float | None = None, end: float | None = None) -> str:
    """`<corpus>/<path without extension>`, and `#start-end` in seconds where a part of the file is meant.

    The path is in Unicode NFC, so that an id does not depend on the file system. Times have two decimals, or three where milliseconds are given: `#1.20-3.45`, `#1.205-3.45`; an open end is `end`.
    """
    utterance_id = f"{corpus}/{normalise_path(posixpath.splitext(media)[0])}"
    return utterance_id if start is None and end is None else add_times(utterance_id, start, end)


def add_times(utterance_id: str, start: float | None, end: float | None) -> str:
    """Id of a part of an utterance: `<id>#start-end`, in seconds."""
    return f"{utterance_id}#{_format_seconds(start or 0.0)}-{'end' if end is None else _format_seconds(end)}"


def parent_of(utterance_id: str) -> str:
    """Id of a segment's clip; an undivided clip's own id.

    Only for corpora with `segments` in their section: the importer's own parts of files have such ids too.
    """
    return _TIMES.sub("", utterance_id)


def _format_seconds(seconds: float) -> str:
    text = f"{seconds:.3f}"
    return text.removesuffix("0")
