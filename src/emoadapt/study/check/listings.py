"""Listings of a study's corpora, each read once into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from emoadapt import schema
from emoadapt.corpora.base import Utterance
from emoadapt.listing.manifests import list_label_rows, list_manifest
from emoadapt.listing.reading import read_utterances
from emoadapt.storage.frames import make_frame

if TYPE_CHECKING:
    from emoadapt.config import Study


class Listings:
    """The content of a study's corpora; each is read when it is first needed.

    Args:
        study: the configuration.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._utterances: dict[str, list[Utterance]] = {}
        self._manifests: dict[str, pl.DataFrame] = {}
        self._labels: dict[str, pl.DataFrame] = {}

    def read_utterances(self, corpus: str) -> list[Utterance]:
        """Utterances of a corpus, as `listing.reading.read_utterances`.

        Raises:
            CorpusError: the corpus cannot be listed.
        """
        if corpus not in self._utterances:
            self._utterances[corpus] = read_utterances(corpus, self.study.corpora[corpus])
        return self._utterances[corpus]

    def read_manifest(self, corpus: str) -> pl.DataFrame:
        """MANIFEST rows of a corpus.

        Raises:
            CorpusError: the corpus cannot be listed.
        """
        if corpus not in self._manifests:
            shards = list_manifest(corpus, self.study.corpora[corpus], self.read_utterances(corpus))
            self._manifests[corpus] = make_frame([row for shard in shards for row in shard], schema.MANIFEST)
        return self._manifests[corpus]

    def read_labels(self, corpus: str) -> pl.DataFrame:
        """LABELS rows of a corpus.

        Raises:
            CorpusError: the corpus, or its label tables, cannot be read.
        """
        if corpus not in self._labels:
            rows = list_label_rows(corpus, self.study.corpora[corpus], self.read_utterances(corpus))
            self._labels[corpus] = make_frame(rows, schema.LABELS)
        return self._labels[corpus]
