"""A user's own media: every audio and video file below a folder.

Labels come from nowhere (the default), from the name of the folder a file lies in, or from a regular expression on the relative path;
speakers from another one. Everything else (segments, transcripts, official partitions) needs a table: see `csv`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import Change, ConfigError, CorpusError, show
from emoadapt.listing.folders import find_media

TERMS = None
LABELS = None
SPEAKERS_OF = "root"


class Config(Corpus):
    """A folder of media files; labels, where wanted, from folder names."""

    importer: Literal["folder"]
    label_from: Literal["none", "parent"] = "none"
    """`parent`: the label is the name of the folder a file lies in."""
    label_pattern: str | None = None
    """Regular expression with a group `label`, searched in the relative path, instead of `label_from`; null = none."""
    speaker_pattern: str | None = None
    """Regular expression with a group `speaker`, searched in the relative path; null = speakers unknown."""

    @model_validator(mode="after")
    def _one_source(self) -> Config:
        if self.label_pattern is not None and self.label_from != "none":
            raise ValueError("label_from and label_pattern both name the labels; keep one")
        return self


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "folder names" if config.label_pattern is None else "names of files and folders"


def tables(config: Config) -> list[Path]:
    """None: names of files and folders say all."""
    return []


def list_utterances(name: str, config: Config) -> list[Utterance]:
    """One utterance per media file.

    Raises:
        ConfigError: `speaker_pattern` is no regular expression with a group `speaker`.
        CorpusError: a file in whose path the pattern finds no speaker.
    """
    media = find_media(config.root)
    speakers = _find_groups(name, media, "speaker", config.speaker_pattern)
    return [
        Utterance(make_utterance_id(name, path), path, speaker=speaker)
        for path, speaker in zip(media, speakers, strict=True)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The folder's name or what the pattern finds as label, or nulls.

    Raises:
        ConfigError: `label_pattern` is no regular expression with a group `label`.
        CorpusError: labels are wanted and a file lies directly in the root, or the pattern finds none in its path.
    """
    media = find_media(config.root)
    if config.label_pattern is not None:
        labels = _find_groups(name, media, "label", config.label_pattern)
        return [Label(make_utterance_id(name, path), label) for path, label in zip(media, labels, strict=True)]
    if config.label_from == "none":
        return [Label(make_utterance_id(name, path)) for path in media]
    if bare := [path for path in media if "/" not in path]:
        raise CorpusError(
            f"corpus {name}: no folder gives a label to {show(bare)}, which lie directly in {config.root}; "
            f"move them into folders named by label, or set corpora.{name}.label_from: none",
            Change(f"corpora.{name}.label_from", "none"),
        )
    return [Label(make_utterance_id(name, path), posixpath.basename(posixpath.dirname(path))) for path in media]


def _find_groups(name: str, media: list[str], group: str, pattern: str | None) -> list[str | None]:
    """What a pattern's group finds in each path; None without a pattern."""
    if pattern is None:
        return [None] * len(media)
    key = f"corpora.{name}.{group}_pattern"
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{key}: {pattern!r} is no regular expression ({error})", Change(key)) from None
    if group not in expression.groupindex:
        raise ConfigError(f"{key}: {pattern!r} has no group (?P<{group}>...); add one", Change(key))
    matches = [expression.search(path) for path in media]
    found = [match[group] if match else None for match in matches]
    if without := [path for path, text in zip(media, found, strict=True) if not text]:
        raise CorpusError(
            f"corpus {name}: the {group} pattern {pattern!r} finds no {group} in {show(without)}; "
            f"correct {key} or move these files out of the root",
            Change(key),
        )
    return found
