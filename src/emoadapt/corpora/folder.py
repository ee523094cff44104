"""A user's own media: every audio and video file below a folder.

Labels come from nowhere (the default) or from the name of the folder a file lies in; speakers from a regular
expression on the relative path. Everything else (segments, transcripts, official partitions) needs a table: see `csv`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Literal

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.errors import ConfigError, CorpusError, show
from emoadapt.listing.folders import find_media

TERMS = None
LABELS = None
SPEAKERS_OF = "root"


class Config(Corpus):
    """A folder of media files; labels, where wanted, from folder names."""

    importer: Literal["folder"]
    label_from: Literal["none", "parent"] = "none"
    """`parent`: the label is the name of the folder a file lies in."""
    speaker_pattern: str | None = None
    """Regular expression with a group `speaker`, searched in the relative path; null = speakers unknown."""


def describe_labels(config: Config) -> str:
    """Whose judgement the labels are, in a few words."""
    return "folder names"


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
    speakers = _find_speakers(name, media, config.speaker_pattern)
    return [
        Utterance(make_utterance_id(name, path), path, speaker=speaker)
        for path, speaker in zip(media, speakers, strict=True)
    ]


def list_labels(name: str, config: Config) -> list[Label]:
    """The folder's name as label, or nulls.

    Raises:
        CorpusError: labels are wanted and a file lies directly in the root.
    """
    media = find_media(config.root)
    if config.label_from == "none":
        return [Label(make_utterance_id(name, path)) for path in media]
    if bare := [path for path in media if "/" not in path]:
        raise CorpusError(
            f"corpus {name}: no folder gives a label to {show(bare)}, which lie directly in {config.root}; "
            f"move them into folders named by label, or set corpora.{name}.label_from: none"
        )
    return [Label(make_utterance_id(name, path), posixpath.basename(posixpath.dirname(path))) for path in media]


def _find_speakers(name: str, media: list[str], pattern: str | None) -> list[str | None]:
    if pattern is None:
        return [None] * len(media)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"corpora.{name}.speaker_pattern: {pattern!r} is no regular expression ({error})") from None
    if "speaker" not in expression.groupindex:
        raise ConfigError(f"corpora.{name}.speaker_pattern: {pattern!r} has no group (?P<speaker>...); add one")
    found = [expression.search(path) for path in media]
    speakers = [match["speaker"] if match else None for match in found]
    if without := [path for path, speaker in zip(media, speakers, strict=True) if not speaker]:
        raise CorpusError(
            f"corpus {name}: the speaker pattern {pattern!r} finds no speaker in {show(without)}; "
            f"correct corpora.{name}.speaker_pattern or move these files out of the root"
        )
    return speakers
