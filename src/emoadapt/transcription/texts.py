"""Transcripts as input of a text model: which of them can be read, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from emoadapt.errors import ClipError
from emoadapt.storage.notes import join_notes

DOUBTS = frozenset({"repetition", "low_confidence", "no_speech"})
"""Codes of notes on transcripts whose words may be invented."""


def check_transcript(
    row: dict[str, Any], reader: str, languages: Sequence[str] | None, doubtful: Literal["absent", "note"]
) -> str | None:
    """Check whether a model can read a transcript.

    Args:
        row: columns of the transcript, and `transcript_notes`.
        reader: name of the model, for messages.
        languages: ISO 639-1 codes that it knows; None = all.
        doubtful: what to do with words that may be invented.

    Returns:
        Notes on what is odd about it, joined; None where nothing is.

    Raises:
        ClipError: it is in another language, or doubtful.
    """
    language, codes = row.get("language"), [note.partition(":")[0] for note in row.get("transcript_notes", ())]
    if languages is not None and language is not None and language not in languages:
        known = ", ".join(languages)
        raise ClipError("language_not_supported", f"{reader} knows {known}, the text is in {language}", absent=True)
    if DOUBTS & set(codes) and doubtful == "absent":
        raise ClipError("doubtful_transcript", ", ".join(codes), absent=True)
    notes = [f"doubtful_transcript: {', '.join(codes)}"] if codes else []
    if languages is not None and language is None:
        only = "the only one" if len(languages) == 1 else "the only ones"
        notes.append(f"language_assumed: {', '.join(languages)}, {only} that {reader} knows; the corpus names none")
    return join_notes(notes)


def group_equal(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of indices of equally long texts.

    Nothing is padded: a result is that of the text alone, up to rounding.
    """
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    for indices in by_length.values():
        for begin in range(0, len(indices), batch_size):
            yield indices[begin : begin + batch_size]
