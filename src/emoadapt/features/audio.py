"""Audio of a clip as every model and feature reads it: mono, 16 kHz, int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emoadapt import schema
from emoadapt.config import AudioConfig
from emoadapt.features.base import Context, guard
from emoadapt.flow.notes import join_notes
from emoadapt.media import examine, read_recording
from emoadapt.media.containers import describe_request

SEGMENT_TOLERANCE = 0.05
"""s that a segment may lack of its wanted length without a note: codecs count in frames of up to 64 ms at both ends of a file."""
_TOLERANCE = SEGMENT_TOLERANCE + 0.5 / schema.SAMPLE_RATE
"""Times of a table fall between two samples."""


class AudioExtractor:
    """Decodes the audio of each clip or segment.

    Set aside are clips shorter than `min_seconds` (`too_short`), those longer than `max_seconds` (`too_long`), clips whose samples
    are all the same (`silent`, absent), and those that `emoadapt.media` cannot decode. Others are kept, with notes on what is odd:
    those of `Recording`, those of `emoadapt.media.examine` (`clipped`, `offset`, `narrow_band`), and `segment_before` or
    `segment_beyond` where the segment is shorter than was asked for, since the file's audio begins later or ends earlier.
    """

    table = schema.AUDIO
    inputs = ("manifest",)
    manifest_columns = ()
    chunk_size = 32

    def __init__(self, config: AudioConfig, context: Context) -> None:
        self.min_seconds, self.max_seconds = config.min_seconds, config.max_seconds

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`audio` ((n_samples,) int16 little-endian) and `n_samples` of each row's `path`, `start` and `end`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        recording = read_recording(row["path"], row["start"], row["end"], self.max_seconds)
        notes = examine(recording, self.min_seconds)
        lacking = note_segment(row["start"], row["end"], recording.position, len(recording.samples))
        return {
            "reason": join_notes([*notes, *lacking]),
            "audio": recording.samples.tobytes(),
            "n_samples": len(recording.samples),
        }


def note_segment(start: float | None, end: float | None, position: int, n_samples: int) -> list[str]:
    """Notes for a segment that is shorter than was asked for, since its file's audio begins later or ends earlier.

    Args:
        start: s, of the row; None = the beginning of the audio, which cannot be before itself.
        end: s, of the row; None = the end, which cannot be beyond itself.
        position: of the first sample that was got: 16 kHz samples after a player's 0:00.
        n_samples: samples that were got, 16 kHz.
    """
    begin, reached = position / schema.SAMPLE_RATE, (position + n_samples) / schema.SAMPLE_RATE
    asked = describe_request(start, end)
    notes = []
    if start is not None and begin - start > _TOLERANCE:
        notes.append(f"segment_before: {asked}, the audio begins at {begin:.2f} s")
    if end is not None and end - reached > _TOLERANCE:
        notes.append(f"segment_beyond: {asked}, the audio ends at {reached:.2f} s")
    return notes
