"""Clips of a corpus with their labels, one row each; only short columns are in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from emoadapt.config import AnyCorpus
from emoadapt.corpora.base import Label, Utterance
from emoadapt.errors import CorpusError
from emoadapt.listing.accounts import read_notes
from emoadapt.listing.reading import note_names, read_labels, read_utterances
from emoadapt.schema import ATTRIBUTES

CLIP, ID = "clip", "utterance_id"
"""Column of a clip's number, 0 to n - 1 in the order of ids; column of its id."""

_LISTED: Mapping[str, type[pl.DataType]] = {
    ID: pl.String,
    "media": pl.String,
    "start": pl.Float64,
    "end": pl.Float64,
    "speaker": pl.Categorical,
    "sex": pl.Categorical,
    "language": pl.Categorical,
    "split": pl.Categorical,
    "transcript": pl.String,
}
_LABELLED: Mapping[str, type[pl.DataType]] = {"label": pl.Categorical, **dict.fromkeys(ATTRIBUTES, pl.Float64)}


def list_clips(name: str, config: AnyCorpus) -> tuple[pl.DataFrame, list[str]]:
    """List a corpus as it is now.

    Args:
        name: the corpus.
        config: its section.

    Returns:
        `clip`, the columns of `Utterance`, `label` and the attributes of each clip; what the listing notes, as `emoadapt check`
        prints it.

    Raises:
        CorpusError: the corpus, or its label tables, cannot be read.
    """
    utterances = read_utterances(name, config)
    clips = frame_clips(utterances, read_labels(name, config, utterances))
    try:
        return clips, [*read_notes(name, config), *note_names(utterances)]
    except CorpusError as error:
        # A corpus that a table lists does without the other folders below its root.
        return clips, [str(error)]


def frame_clips(utterances: Sequence[Utterance], labels: Sequence[Label]) -> pl.DataFrame:
    """A frame of utterances and their labels, which have the same order."""
    columns = [
        pl.Series(column, [getattr(row, column) for row in rows], dtype=kind)
        for rows, kinds in ((utterances, _LISTED), (labels, _LABELLED))
        for column, kind in kinds.items()
    ]
    return pl.DataFrame(columns).with_row_index(CLIP)
