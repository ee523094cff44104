"""Utterances and labels of a corpus, normalised and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.corpora.base import Label, Utterance, parent_of
from emoadapt.errors import Change, CorpusError, show
from emoadapt.fixes import rename
from emoadapt.flow.code import digest
from emoadapt.listing.folders import describe_passed_over, find_media, find_missing, survey_folder
from emoadapt.listing.names import find_on_disk, normalise_name, note_case_twins, note_unknown_words, parse_known
from emoadapt.listing.segments import cut_clips
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus

SOURCES = {
    "acted": "acted (intended) emotion",
    "perceived": "raters' plurality",
    "mixed": "acted in some clips, perceived in others",
}
"""`LABELS` of an importer that does not describe its labels itself -> words for them."""


def read_utterances(name: str, config: AnyCorpus) -> list[Utterance]:
    """List a corpus's utterances, sorted by id: its clips, or their segments if its section divides them.

    Raises:
        CorpusError: as `read_clips` and `cut_clips`.
    """
    clips = read_clips(name, config)
    if config.segments is None:
        return clips
    segments = cut_clips(name, config, clips).utterances
    _refuse_repeated_ids(name, segments)
    return sorted(segments, key=lambda utterance: utterance.utterance_id)


def read_clips(name: str, config: AnyCorpus) -> list[Utterance]:
    """List a corpus's clips, before any is divided, sorted by id, after the configured speakers are applied.

    The configured language is no part of it: who reads languages is told it (`Extraction.stated`), and nobody else is concerned.
    Names are in their normal form (`listing.names`), whatever the importer; unknown speakers are None.

    Args:
        name: the corpus's name in the configuration; ids begin with it.
        config: its section.

    Raises:
        CorpusError: the root is missing, nothing was found, a named speaker does not exist, or `check_utterances`
            refused.
    """
    importer = load_plugin("corpora", config.importer)
    makes_media = hasattr(importer, "fingerprints")
    root = Path(config.root)
    if not makes_media and not root.is_dir():
        raise CorpusError(
            f"corpus {name}: its root {root.absolute()} is not a folder; correct corpora.{name}.root",
            Change(f"corpora.{name}.root", "FOLDER"),
        )
    utterances = importer.list_utterances(name, config)
    if not utterances:
        raise CorpusError(
            f"corpus {name}: the importer {config.importer} found no clips under {root}; "
            f"check corpora.{name}.root ({_describe_content(root)})",
            Change(f"corpora.{name}.root", "FOLDER"),
        )
    utterances = [_normalise_utterance(utterance) for utterance in utterances]
    if not makes_media:
        utterances = name_as_on_disk(utterances, root)
    check_utterances(name, utterances, root, media_on_disk=not makes_media)
    if config.speakers is not None:
        utterances = _keep_speakers(name, utterances, config.speakers)
    return sorted(utterances, key=lambda utterance: utterance.utterance_id)


def read_labels(name: str, config: AnyCorpus, utterances: Sequence[Utterance] | None = None) -> list[Label]:
    """List one label row per utterance of `read_utterances`, in the same order; one without labels is all null.

    Args:
        name: the corpus's name in the configuration.
        config: its section.
        utterances: what `read_utterances` gave, where the caller has it already.

    Raises:
        CorpusError: as `read_utterances`, or what the importer finds wrong with its label tables.
    """
    # Utterances first: they tell a missing root with a sentence.
    listed = read_utterances(name, config) if utterances is None else utterances
    labels = {
        label.utterance_id: _normalise_label(label)
        for label in load_plugin("corpora", config.importer).list_labels(name, config)
    }
    if config.segments is None:
        return [labels.get(utterance.utterance_id) or Label(utterance.utterance_id) for utterance in listed]
    # A segment has the labels of its clip.
    parents = ((utterance.utterance_id, labels.get(parent_of(utterance.utterance_id))) for utterance in listed)
    return [Label(name) if label is None else replace(label, utterance_id=name) for name, label in parents]


def annotation_files(config: AnyCorpus) -> list[Path]:
    """Tables that bear this corpus's labels; empty when labels come from file or folder names."""
    importer = load_plugin("corpora", config.importer)
    return importer.annotation_files(config) if hasattr(importer, "annotation_files") else []


def describe_source(config: AnyCorpus) -> str:
    """Whose judgement a corpus's labels are, in a few words."""
    importer = load_plugin("corpora", config.importer)
    return importer.describe_labels(config) if hasattr(importer, "describe_labels") else SOURCES[importer.LABELS]


def note_names(utterances: Sequence[Utterance]) -> list[str]:
    """Notes on speakers whose names differ by case alone, and on transcripts that may be none."""
    spoken = (utterance.transcript for utterance in utterances)
    return [
        *note_unknown_words("transcript", spoken, "which counts as the words that are said"),
        *note_case_twins("speakers", (utterance.speaker for utterance in utterances)),
    ]


def describe_sources(name: str, config: AnyCorpus) -> str | None:
    """All that decides a corpus's list besides code and the content of its media, as one string.

    None where the importer does not tell, or where something is missing, of which listing the corpus says what.
    """
    importer = load_plugin("corpora", config.importer)
    if not hasattr(importer, "tables") or hasattr(importer, "fingerprints"):
        return None
    try:
        tables = [hashlib.sha256(path.read_bytes()).hexdigest() for path in importer.tables(config)]
        media = () if getattr(importer, "MEDIA_IN_TABLES", False) else find_media(config.root)
    except (OSError, CorpusError):
        return None
    return digest(name, config.model_dump_json(), str(Path(config.root).absolute()), tables, media)


def check_utterances(
    name: str, utterances: Sequence[Utterance], root: str | Path, *, media_on_disk: bool = True
) -> None:
    """Refuse utterances that cannot be worked with.

    Args:
        name: corpus name, for the message.
        utterances: rows as an importer lists them.
        root: folder their media are relative to.
        media_on_disk: False for corpora whose media are made later.

    Raises:
        CorpusError: media outside the root, names that are not valid Unicode, repeated ids, or missing media;
            the first five are named.
    """
    media = {utterance.media for utterance in utterances}
    if outside := sorted(path for path in media if _leaves_root(path)):
        raise CorpusError(
            f"corpus {name}: {_count(outside, 'media path')} outside its root {root}: {show(outside)}; "
            f"{_advise_relative(outside[0], root)}, or set the root higher up",
            Change(f"corpora.{name}.root", "FOLDER"),
        )
    if unreadable := sorted(path for path in media if not _is_unicode(path)):
        shown = show(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in unreadable)
        raise CorpusError(f"corpus {name}: {_count(unreadable, 'file name')} not valid Unicode: {shown}; rename them")
    _refuse_repeated_ids(name, utterances)
    if media_on_disk and (missing := find_missing(media, root)):
        twin = _find_twin(missing[0], Path(root))
        extension = Change(f"corpora.{name}.extension", twin.suffix) if twin and not Path(missing[0]).suffix else None
        raise CorpusError(
            f"corpus {name}: {_count(missing, 'media file')} missing under {root}: {show(missing)}; "
            f"{_describe_twin(twin, extension)}correct the paths or corpora.{name}.root",
            *([extension] if extension else []),
            Change(f"corpora.{name}.root", "FOLDER"),
        )


def _advise_relative(path: str, root: str | Path) -> str:
    """How to write a path that is outside the root, or absolute and below it."""
    try:
        return f"write {Path(path).relative_to(Path(root).absolute()).as_posix()}"
    except ValueError:
        return "write paths relative to the root"


def _find_twin(media: str, root: Path) -> Path | None:
    """A file that differs from a missing one in its extension alone, relative to the root."""
    wanted = root / media
    if not wanted.parent.is_dir():
        return None
    twins = (path for path in sorted(wanted.parent.iterdir()) if path.stem == wanted.stem and path.is_file())
    return next((path.relative_to(root) for path in twins), None)


def _describe_twin(twin: Path | None, extension: Change | None) -> str:
    """Beginning of an advice on a file that is called almost like a missing one; empty without any."""
    if twin is None:
        return ""
    return f"{twin.as_posix()} is there: " + (f"set {extension}, or " if extension else "another extension? ")


def _describe_content(root: Path) -> str:
    content = survey_folder(root)
    if content.media:
        return f"of its {len(content.media)} media files none was chosen"
    return describe_passed_over(content.others, content.hidden) or "it is empty"


def _normalise_utterance(utterance: Utterance) -> Utterance:
    """The same row with its names in their normal form."""
    speaker, sex = parse_known(utterance.speaker), parse_known(utterance.sex)
    split = parse_known(utterance.split)
    if (speaker, sex, split) == (utterance.speaker, utterance.sex, utterance.split):
        return utterance
    return replace(utterance, speaker=speaker, sex=sex, split=split)


def _normalise_label(label: Label) -> Label:
    """The same row with its label in its normal form."""
    name = normalise_name(label.label or "") or None
    return label if name == label.label else replace(label, label=name)


def name_as_on_disk(utterances: list[Utterance], root: Path) -> list[Utterance]:
    """The same rows with their media named as on disk, where that differs in Unicode form alone."""
    actual = find_on_disk({utterance.media for utterance in utterances}, root)
    if not actual:
        return utterances
    return [replace(u, media=actual[u.media]) if u.media in actual else u for u in utterances]


def _keep_speakers(name: str, utterances: list[Utterance], speakers: Sequence[str]) -> list[Utterance]:
    known = {utterance.speaker for utterance in utterances if utterance.speaker is not None}
    if unknown := sorted(set(speakers) - known):
        there = f"there are {show(sorted(known), 30)}" if known else "its speakers are not known"
        raise CorpusError(
            f"corpus {name}: no clip of speaker {show(unknown)}; {there}; correct corpora.{name}.speakers",
            rename(f"corpora.{name}.speakers", speakers, unknown[0], sorted(known)),
        )
    wanted = set(speakers)
    return [utterance for utterance in utterances if utterance.speaker in wanted]


def _refuse_repeated_ids(name: str, utterances: Sequence[Utterance]) -> None:
    first: dict[str, Utterance] = {}
    repeated = []
    for utterance in utterances:
        other = first.setdefault(utterance.utterance_id, utterance)
        if other is not utterance:
            files = other.media if other.media == utterance.media else f"{other.media}, {utterance.media}"
            repeated.append(f"{utterance.utterance_id} ({files})")
    if repeated:
        raise CorpusError(
            f"corpus {name}: {_count(repeated, 'utterance id')} not unique: {show(repeated)}; keep one file per clip "
            "(files that differ only in their extension count as one) and one table row per clip and part of it"
        )


def _count(items: Sequence[str], noun: str) -> str:
    return f"1 {noun} is" if len(items) == 1 else f"{len(items)} {noun}s are"


def _leaves_root(path: str) -> bool:
    # A drive letter or a backslash is a Windows path, which would be one odd file name here.
    return path.startswith("/") or ".." in path.split("/") or "\\" in path


def _is_unicode(path: str) -> bool:
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
