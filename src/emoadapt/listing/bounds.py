"""Segments that leave their files, found before anything is computed.

Only `emoadapt check` asks, and only for corpora with segments: each file's header is read once. A file is read through only where
its header says that a segment leaves it, since headers of some formats are estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emoadapt.corpora.base import Utterance
from emoadapt.errors import CorpusError, show
from emoadapt.listing.durations import read_durations
from emoadapt.media.durations import declared_seconds, demuxed_seconds
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus

TOLERANCE_SECONDS = 0.2
"""What an end may lie beyond its file: lossy formats declare lengths with or without their run-in and padding, and annotators round up."""
MILLISECONDS_FROM = 10
"""Times of so many times the file's length are taken for milliseconds."""


def refuse_segments_outside(name: str, config: AnyCorpus, utterances: Sequence[Utterance]) -> None:
    """Refuse segments that begin or end after their file does.

    Args:
        name: the corpus's name.
        config: its section.
        utterances: as `read_utterances` lists them.

    Raises:
        CorpusError: there are any; the first five are named, with the lines of their table.
    """
    importer = load_plugin("corpora", config.importer)
    segments = [u for u in utterances if u.start is not None or u.end is not None]
    if not segments or hasattr(importer, "fingerprints"):
        return
    durations = read_durations(name, config, utterances)
    declared = durations.look_up({segment.media for segment in segments}, "declared", declared_seconds)
    doubtful = [segment for segment in segments if _leaves(segment, declared[segment.media])]
    doubtful += [segment for segment in segments if declared[segment.media] is None]
    measured = durations.look_up({segment.media for segment in doubtful}, "demuxed", demuxed_seconds)
    durations.keep()
    outside = [segment for segment in segments if _leaves(segment, measured.get(segment.media))]
    if not outside:
        return
    lines: Mapping[str, str] = importer.find_lines(name, config) if hasattr(importer, "find_lines") else {}
    order = {utterance_id: at for at, utterance_id in enumerate(lines)}
    outside.sort(key=lambda segment: order.get(segment.utterance_id, 0))
    shown = show(_describe(segment, measured[segment.media] or 0.0, lines) for segment in outside)
    many = (
        f"{len(outside):,} segments extend beyond their files"
        if len(outside) > 1
        else "1 segment extends beyond its file"
    )
    raise CorpusError(f"corpus {name}: {many}: {shown}; give times in seconds from the beginning of the file")


def _latest(segment: Utterance) -> float:
    """The later end of a segment, as far as it is given."""
    return segment.start or 0.0 if segment.end is None else segment.end


def _leaves(segment: Utterance, seconds: float | None) -> bool:
    if seconds is None:
        return False
    beyond = segment.end is not None and segment.end > seconds + TOLERANCE_SECONDS
    # A segment that starts where the file ends holds nothing, however its times are rounded.
    return beyond or (segment.start or 0.0) >= seconds


def _describe(segment: Utterance, seconds: float, lines: Mapping[str, str]) -> str:
    where = lines.get(segment.utterance_id, segment.utterance_id)
    which, time = (
        ("start", segment.start)
        if segment.start is not None and segment.start >= seconds
        else ("end", segment.end)
    )  # fmt: skip
    question = "; are these milliseconds?" if _latest(segment) >= MILLISECONDS_FROM * seconds else ""
    return f"{where} ({which} {time:g} s; {segment.media} ends at {seconds:.2f} s{question})"
