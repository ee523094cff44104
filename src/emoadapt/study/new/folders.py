"""Corpora in a folder: published ones, tables, or media alone."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection
from pathlib import Path
from typing import Any

from emoadapt.errors import CorpusError, EmoadaptError, name_count, show
from emoadapt.listing.folders import FolderContent, describe_passed_over, survey_folder
from emoadapt.plugins import check_plugin
from emoadapt.study.new.columns import choose_columns
from emoadapt.study.new.drafts import FOLDERS, Draft, Wishes, name_plainly
from emoadapt.study.new.media_alone import draft_folder
from emoadapt.study.new.pictures import choose_modalities
from emoadapt.study.new.published import draft_published, find_matches
from emoadapt.study.new.tables import SUFFIXES, MediaTable, find_table, locate_from

COVERED = 0.9
"""Share of a folder's media from which a table is taken for that of the whole folder."""


def find_corpora(folder: Path, wishes: Wishes) -> list[Draft]:
    """Propose corpora for a folder: one, or one for each folder below it.

    Raises:
        ConfigError: a wish cannot be fulfilled.
        CorpusError: there are no media, or what is there cannot be read.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder; name the folder that holds your audio or video files")
    shown = os.fsencode(folder).decode("utf-8", "replace")
    if shown != str(folder):
        raise CorpusError(
            f"{shown}: the name of this folder is not valid Unicode, so that no study can name it; rename it"
        )
    content = survey_folder(folder)
    if not content.media:
        passed = describe_passed_over(content.others, content.hidden)
        raise CorpusError(
            f"{folder} holds no audio or video file ({passed or 'it is empty'}); name the folder that holds your clips"
        )
    wished = wishes.importer or ("folder" if wishes.label == FOLDERS else None)
    if wished is not None:
        return [_draft_wished(folder, content, wishes, check_plugin("corpora", wished))]
    failed: list[str] = []
    if drafts := _find_known(folder, content, wishes, failed):
        return drafts
    draft = draft_folder(folder, content.media, wishes)
    draft.doubts += [*failed, *_note_tables(content)]
    return [draft]


def _draft_wished(folder: Path, content: FolderContent, wishes: Wishes, importer: str) -> Draft:
    if importer == "folder":
        return draft_folder(folder, content.media, wishes)
    if importer == "csv":
        read, faults = find_table(folder, content.media, content.others)
        if read is None:
            raise (
                faults[0]
                if faults
                else CorpusError(f"no table below {folder} names its media files; see docs/corpora.md")
            )
        return draft_table(folder, content.media, read, wishes)
    return draft_published(folder, content.media, importer, "you named the importer")


def _find_known(folder: Path, content: FolderContent, wishes: Wishes, failed: list[str]) -> list[Draft]:
    """Published corpora, and those that a table lists; none if the names of files are all there is.

    Args:
        folder: that is looked at.
        content: of the folder.
        wishes: what the person wants.
        failed: takes sentences on published corpora that cannot be read as such.

    Raises:
        CorpusError: a table cannot be read, and no other one names the media.
    """
    for match in find_matches(content.media):
        try:
            return [draft_published(folder, content.media, match.importer, match.describe())]
        except EmoadaptError as error:
            failed.append(f"{match.describe()}, but it cannot be read as that: {error}")
    read, faults = find_table(folder, content.media, content.others)
    if read is not None and len({*read.media, *read.strays}) >= COVERED * len(content.media):
        return [draft_table(folder, content.media, read, wishes)]
    if drafts := _find_parts(folder, content, wishes):
        return drafts
    if read is not None:
        return [draft_table(folder, content.media, read, wishes)]
    if faults:
        raise CorpusError(f"{faults[0]}. To do without this table: --importer folder")
    return []


def _find_parts(folder: Path, content: FolderContent, wishes: Wishes) -> list[Draft]:
    """Each folder below as a corpus, if at least one is published or has a table; else none."""
    names = sorted({path.partition("/")[0] for path in content.media if "/" in path})
    if len(names) < 2:
        return []
    contents = {name: survey_folder(folder / name) for name in names}
    failed: dict[str, list[str]] = {name: [] for name in names}
    known = {name: _find_known(folder / name, contents[name], wishes, failed[name]) for name in names}
    if not any(known.values()):
        return []
    drafts = []
    for name in names:
        found = known[name] or [draft_folder(folder / name, contents[name].media, wishes)]
        found[0].doubts += [] if known[name] else failed[name]
        drafts += found
    if alone := [path for path in content.media if "/" not in path]:
        drafts[0].doubts.append(f"{len(alone)} media files directly in {folder} belong to no corpus: {show(alone)}")
    return drafts


def _note_tables(content: FolderContent) -> list[str]:
    tables = [path for path in content.others if path.lower().endswith(SUFFIXES)]
    return [f"{show(tables)} names none of the media files, and is not read"] if tables else []


def draft_table(folder: Path, media: Collection[str], read: MediaTable, wishes: Wishes) -> Draft:
    """Propose a corpus that a table lists.

    Raises:
        ConfigError: a column that is wished for is not there.
        CorpusError: rows name no files, or cannot be read.
    """
    read.refuse_missing()
    columns = choose_columns(read, wishes)
    root = folder / read.prefix
    named = [posixpath.relpath(path, read.prefix or ".") for path in dict.fromkeys(read.media)]
    modalities, why = choose_modalities(root, named)
    section: dict[str, Any] = {"importer": "csv", "root": str(root), "file": locate_from(root, read.path)}
    section["columns"] = columns.mapping
    section |= {"extension": read.extension} if read.extension else {}
    section |= {"quoting": read.quoting} if read.quoting != "standard" else {}
    section["modalities"] = modalities
    unread = [name for name in read.table.header if name and name not in columns.mapping.values()]
    found = f"{read.path.name} names {len(named):,} of {len(media):,} media files in column {read.column}"
    draft = Draft(folder, section, {"importer": found}, [found], columns.doubts, name_plainly(folder.name))
    draft.why["columns"] = "; ".join(f"{ours}: {why}" for ours, why in columns.why.items())
    draft.why["columns"] += f". Not read: {', '.join(unread)}" if unread else ""
    draft.why |= {"modalities": why} if why else {}
    draft.doubts += _note_uncovered(media, read)
    return draft.read()


def _note_uncovered(media: Collection[str], read: MediaTable) -> list[str]:
    """Sentences on media that the table of a corpus does not name."""
    rest = sorted(set(media) - set(read.media))
    if not rest:
        return []
    joined = (
        f"; {', '.join(read.others)} names others: join the tables, with a column for the part" if read.others else ""
    )
    return [f"{name_count(len(rest), 'media file')} not named in {read.path.name}, and left out: {show(rest)}{joined}"]
