"""What all corpora share: utterances, labels, finding media, and the checks before anything is computed.

An importer is a module `emoadapt.corpora.<importer>` with

* `list_utterances(name, config) -> list[Utterance]`: what the corpus holds;
* `list_labels(name, config) -> list[Label]`: what its raters or actors say;
* optionally `annotation_files(config) -> list[Path]`: the tables that bear labels;
* optionally `account_rows(name, config) -> Account`: where the rows of its tables went (see `accounts`). Each row becomes a clip or
  is left out for a reason that is named;
* optionally `find_lines(name, config) -> dict[str, str]`: utterance id -> table and line, for messages;
* optionally `list_notes(name, config) -> list[str]`: what else the listing passed over, in words;
* optionally `tables(config) -> list[Path]`: every file besides the media that listing reads. The list is then remembered
  while these tables, the media files and their names stay as they are; `MEDIA_IN_TABLES = True` says that it depends on
  the tables alone, so that no folder need be listed to know that;
* optionally `fingerprints(name, config) -> dict[str, str]`: media -> fingerprint, for an importer that makes its
  media itself, so that neither folder nor files need to exist when the corpus is listed.

The Snakefile lists corpora whenever it is parsed: importers use the standard library only.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from emoadapt.listing.names import normalise_path

SHOWN = 5
"""Rows that an error message names."""


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
    stem = normalise_path(posixpath.splitext(media)[0])
    if start is None and end is None:
        return f"{corpus}/{stem}"
    return f"{corpus}/{stem}#{_format_seconds(start or 0.0)}-{'end' if end is None else _format_seconds(end)}"


def show(items: Iterable[str], limit: int = SHOWN) -> str:
    """The first items, and how many more there are."""
    items = list(items)
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")


def _format_seconds(seconds: float) -> str:
    text = f"{seconds:.3f}"
    return text.removesuffix("0")
