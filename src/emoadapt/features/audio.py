"""Audio of a clip: mono, 16 kHz, int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.features.base import Context, FeatureSection, guard

INPUTS = ("manifest",)
TERMS = None
READS_MEDIA = True
JOB = {"memory_mb": 1800, "memory_mb_per_thread": 200, "minutes": 120}

TABLE = schema.make_feature_table(
    schema.column("audio", pa.binary(), "(n_samples,) int16 little-endian, mono, 16 kHz"),
    schema.column("n_samples", pa.int64(), "number of samples"),
)

SEGMENT_TOLERANCE = 0.05
"""s that a segment may lack of its wanted length without a note: codecs count in frames of up to 64 ms at both ends of a file."""
_TOLERANCE = SEGMENT_TOLERANCE + 0.5 / schema.SAMPLE_RATE
"""Times of a table fall between two samples."""


class Config(FeatureSection):
    """Decoding to 16 kHz mono."""

    min_seconds: float = Field(0.1, ge=0.025)
    """Shorter clips are set aside (`too_short`)."""
    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are set aside (`too_long`) without being decoded; a segment counts by its own length."""

    def runs_parallel(self) -> bool:
        """True: a decoder keeps one core busy."""
        return True


def load(config: Config, context: Context) -> AudioExtractor:
    """The decoder."""
    return AudioExtractor(config)


class AudioExtractor:
    """Decodes the audio of each clip or segment.

    Set aside are clips shorter than `min_seconds` (`too_short`), those longer than `max_seconds` (`too_long`), clips whose samples
    are all the same (`silent`, absent), and those that `emoadapt.media` cannot decode. Others are kept, with notes on what is odd:
    those of `Recording`, those of `emoadapt.media.examine` (`clipped`, `offset`, `narrow_band`), and `segment_before` or
    `segment_beyond` where the segment is shorter than was asked for, since the file's audio begins later or ends earlier.
    """

    def __init__(self, config: Config) -> None:
        self.min_seconds, self.max_seconds = config.min_seconds, config.max_seconds

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`audio` ((n_samples,) int16 little-endian) and `n_samples` of each row's `path`, `start` and `end`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        from emoadapt.media import examine, read_recording
        from emoadapt.storage.notes import join_notes

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
    from emoadapt.media.containers import describe_request

    begin, reached = position / schema.SAMPLE_RATE, (position + n_samples) / schema.SAMPLE_RATE
    asked = describe_request(start, end)
    notes = []
    if start is not None and begin - start > _TOLERANCE:
        notes.append(f"segment_before: {asked}, the audio begins at {begin:.2f} s")
    if end is not None and end - reached > _TOLERANCE:
        notes.append(f"segment_beyond: {asked}, the audio ends at {reached:.2f} s")
    return notes
