"""Audio of a clip as every model and feature reads it: mono, 16 kHz, int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emoadapt import schema
from emoadapt.config import AudioConfig
from emoadapt.features.base import Context, guard
from emoadapt.flow.notes import join_notes
from emoadapt.media import examine, read_recording

SEGMENT_TOLERANCE = 0.05
"""s that a segment may lack of its wanted length without a note: codecs count in frames of up to 64 ms at both ends of a file."""


class AudioExtractor:
    """Decodes the audio of each clip or segment.

    Set aside are clips shorter than `min_seconds` (`too_short`), those longer than `max_seconds` (`too_long`), clips whose samples
    are all the same (`silent`, absent), and those that `emoadapt.media` cannot decode. Others are kept, with notes on what is odd:
    those of `Recording`, those of `emoadapt.media.examine` (`clipped`, `offset`, `narrow_band`), and `segment_beyond` where the
    segment is shorter than was asked for, since its file ends before it does.
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
        return {
            "reason": join_notes([*notes, note_segment(row["start"], row["end"], len(recording.samples))]),
            "audio": recording.samples.tobytes(),
            "n_samples": len(recording.samples),
        }


def note_segment(start: float | None, end: float | None, n_samples: int) -> str | None:
    """A note for a segment that is shorter than was asked for, since its file ends before it does.

    Args:
        start: s, of the row; None = the beginning of the file.
        end: s, of the row; None = the end, which cannot be beyond itself.
        n_samples: samples that were got, 16 kHz.
    """
    if end is None:
        return None
    first = round((start or 0.0) * schema.SAMPLE_RATE)
    if round(end * schema.SAMPLE_RATE) - first <= n_samples + SEGMENT_TOLERANCE * schema.SAMPLE_RATE:
        return None
    reached = (first + n_samples) / schema.SAMPLE_RATE
    return f"segment_beyond: asked for {start or 0.0:.2f}-{end:.2f} s, the audio ends at {reached:.2f} s"
