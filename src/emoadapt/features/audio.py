"""Audio of a clip as every model and feature reads it: mono, 16 kHz, int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emoadapt import schema
from emoadapt.config import AudioConfig
from emoadapt.features.base import Context, guard
from emoadapt.flow.notes import join_notes
from emoadapt.media import examine, read_recording


class AudioExtractor:
    """Decodes the audio of each clip or segment.

    Set aside are clips shorter than `min_seconds` (`too_short`), those longer than `max_seconds` (`too_long`), clips whose samples
    are all the same (`silent`, absent), and those that `emoadapt.media` cannot decode. Others are kept, with notes on what is odd:
    those of `Recording`, and those of `emoadapt.media.examine` (`clipped`, `offset`, `narrow_band`).
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
            "reason": join_notes(notes),
            "audio": recording.samples.tobytes(),
            "n_samples": len(recording.samples),
        }
