"""Corpora: one importer per corpus, plus `csv` and `folder` for anybody's own data."""

from emoadapt.corpora.base import (
    MEDIA_EXTENSIONS,
    Label,
    Utterance,
    annotation_files,
    check_utterances,
    find_media,
    load_importer,
    make_utterance_id,
    read_labels,
    read_notes,
    read_utterances,
)

__all__ = [
    "MEDIA_EXTENSIONS",
    "Label",
    "Utterance",
    "annotation_files",
    "check_utterances",
    "find_media",
    "load_importer",
    "make_utterance_id",
    "read_labels",
    "read_notes",
    "read_utterances",
]
