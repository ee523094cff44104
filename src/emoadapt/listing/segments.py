"""Segmentation of clips into segments of one length, each an utterance of its own.

A segment is called `<clip>#<start>-<end>` and has the speaker and the labels of its clip. Times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.corpora.base import Utterance, add_times
from emoadapt.errors import CorpusError, Removal
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus, Segments


@dataclass(frozen=True)
class Segmentation:
    """The segments of a corpus.

    Args:
        utterances: all segments, in the order of their clips.
        clips: number of clips.
        unknown: number of clips whose length is not known; each is one utterance, as without `segments`.
        transcribed: number of divided clips with a transcript, which their segments do not have.
        seconds: length of all clips of known length.
        left_out: time at the ends of clips that is in no segment (s).
    """

    utterances: list[Utterance]
    clips: int
    unknown: int
    transcribed: int
    seconds: float
    left_out: float

    def describe(self, config: Segments) -> list[str]:
        """Lines for a person."""
        lines = [
            f"{len(self.utterances):,} segments of {config.seconds:g} s, of {self.clips:,} clips; {self.left_out:,.1f} s of "
            f"{self.seconds:,.1f} s are left out (rests shorter than {config.shortest:g} s)"
        ]
        if self.unknown:
            lines.append(f"note: clips that stay whole, since their lengths cannot be read: {self.unknown:,}")
        if self.transcribed:
            lines.append(
                f"note: clips whose transcripts are left out, since none is that of a segment: {self.transcribed:,}"
            )
        return lines


def cut_clips(name: str, config: AnyCorpus, clips: Sequence[Utterance]) -> Segmentation:
    """Divide the clips of a corpus as its section says.

    The lengths of its media are read once, and remembered by their content.

    Args:
        name: the corpus's name.
        config: its section, with `segments`.
        clips: as the importer lists them, checked.

    Raises:
        CorpusError: the media are made later, so that their lengths are not known.
    """
    from emoadapt.listing.durations import read_durations

    segments: Segments = config.segments
    if hasattr(load_plugin("corpora", config.importer), "fingerprints"):
        raise CorpusError(
            f"corpus {name}: the importer {config.importer} makes its media later, so that their lengths are not known; "
            f"remove corpora.{name}.segments",
            Removal(f"corpora.{name}.segments"),
        )
    durations = read_durations(name, config, clips)
    lengths = durations.look_up({clip.media for clip in clips}, "measured", _measure)
    durations.keep()
    found: list[Utterance] = []
    unknown, transcribed, total, left_out = 0, 0, 0, 0
    for clip in clips:
        begin = _to_ms(clip.start or 0.0)
        end = (
            min(_to_ms(time) for time in (clip.end, lengths[clip.media]) if time is not None)
            if lengths[clip.media]
            else 0
        )
        parts, rest = place_segments(begin, end, segments)
        if end <= begin:
            unknown += 1
        else:
            total, left_out = total + end - begin, left_out + rest
        transcribed += len(parts) > 1 and clip.transcript is not None
        found += _cut(clip, parts)
    return Segmentation(found, len(clips), unknown, transcribed, total / 1000, left_out / 1000)


def place_segments(begin: int, end: int, config: Segments) -> tuple[list[tuple[int, int]], int]:
    """Place segments in a clip.

    Args:
        begin: beginning of the clip (ms).
        end: its end (ms).
        config: length and overlap of segments, and the shortest one.

    Returns:
        (start, end) of each segment (ms), one for a clip that stays whole; and the time at the end that is in none (ms).
    """
    length, step = _to_ms(config.seconds), _to_ms(config.seconds - config.overlap)
    if end - begin <= length:
        return [(begin, end)], 0
    parts = [(start, start + length) for start in range(begin, end - length + 1, step)]
    rest, last = end - parts[-1][1], (parts[-1][0] + step, end)
    if rest and last[1] - last[0] >= _to_ms(config.shortest):
        return [*parts, last], 0
    return parts, rest


def _cut(clip: Utterance, parts: Sequence[tuple[int, int]]) -> list[Utterance]:
    """The segments of a clip, or the clip itself."""
    if len(parts) > 1:
        return [
            replace(
                clip,
                utterance_id=add_times(clip.utterance_id, start / 1000, end / 1000),
                start=start / 1000,
                end=end / 1000,
                transcript=None,
            )
            for start, end in parts
        ]
    if clip.start is None and clip.end is None:
        return [clip]
    # A clip that is itself a part of a file: with its times once more, so that `parent_of` finds the clip.
    return [replace(clip, utterance_id=add_times(clip.utterance_id, clip.start, clip.end))]


def _measure(path: Path) -> float | None:
    """Length of a file: where its last packet ends, or what its header says."""
    from emoadapt.media.durations import declared_seconds, demuxed_seconds

    seconds = demuxed_seconds(path)
    return declared_seconds(path) if seconds is None else seconds


def _to_ms(seconds: float) -> int:
    return round(seconds * 1000)
