"""Importers of corpora whose file names hold clip, speaker and emotion."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoadapt.config.corpora import Corpus
from emoadapt.corpora.base import Label, Utterance, make_utterance_id
from emoadapt.listing.annotations import Clip, choose_recordings, find_clips

Parts = re.Match[str]
"""The groups of a file's name."""


@dataclass(frozen=True)
class NamedFiles:
    """What an importer says about names of files; its methods are the importer's functions.

    Args:
        pattern: names as distributed, from the root.
        example: a name as distributed and its corpus, for messages.
        describe: parts of a name -> fields of the `Utterance` besides id and media.
        label: parts of a name -> label.
        identify: parts of a name -> what is equal for two recordings of one clip.
        keep: tells clips that the section wants.
    """

    pattern: re.Pattern[str]
    example: str
    describe: Callable[[Parts], dict[str, Any]]
    label: Callable[[Parts], str]
    identify: Callable[[Parts], str] = lambda parts: parts["clip"]
    keep: Callable[[Any, Parts], bool] = lambda config, parts: True

    def tables(self, config: Corpus) -> list[Path]:
        """None: names of files and folders say all."""
        return []

    def list_utterances(self, name: str, config: Corpus) -> list[Utterance]:
        """One utterance per clip that is wanted.

        Raises:
            CorpusError: a media file is named otherwise, or a clip is there twice in one format.
        """
        clips = self._find_clips(name, config)
        return [Utterance(make_utterance_id(name, path), path, **self.describe(parts)) for path, parts in clips]

    def list_labels(self, name: str, config: Corpus) -> list[Label]:
        """The label in the name of each clip.

        Raises:
            CorpusError: as `list_utterances`.
        """
        clips = self._find_clips(name, config)
        return [Label(make_utterance_id(name, path), self.label(parts)) for path, parts in clips]

    def _find_clips(self, name: str, config: Corpus) -> list[Clip]:
        clips = find_clips(name, config.root, self.pattern, self.example)
        wanted = [clip for clip in clips if self.keep(config, clip[1])]
        return choose_recordings(name, wanted, config.modalities, lambda clip: self.identify(clip[1]))
