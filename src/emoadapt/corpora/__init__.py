"""Corpora: one importer per corpus, plus `csv` and `folder` for anybody's own data."""

from emoadapt.listing.accounts import read_account, read_notes
from emoadapt.corpora.base import (
    Label,
    Utterance,
    annotation_files,
    check_utterances,
    load_importer,
    make_utterance_id,
    read_labels,
    read_utterances,
)
from emoadapt.listing.extensions import MEDIA_EXTENSIONS
from emoadapt.listing.folders import find_media

__all__ = [
    "MEDIA_EXTENSIONS",
    "Label",
    "Utterance",
    "annotation_files",
    "check_utterances",
    "find_media",
    "load_importer",
    "make_utterance_id",
    "read_account",
    "read_labels",
    "read_notes",
    "read_utterances",
]
