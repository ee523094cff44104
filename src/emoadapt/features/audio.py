"""Audio of a clip as every model and feature reads it: mono, 16 kHz, int16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emoadapt import schema
from emoadapt.config import AudioConfig
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, guard
from emoadapt.media import decode_audio


class AudioExtractor:
    """Decodes the audio of each clip or segment.

    Set aside are clips shorter than `min_seconds` (`too_short`), clips whose samples are all zero (`silent`, absent), and those
    that `emoadapt.media` cannot decode.
    """

    table = schema.AUDIO
    inputs = ("manifest",)
    manifest_columns = ()
    chunk_size = 32

    def __init__(self, config: AudioConfig, context: Context) -> None:
        self.min_seconds = config.min_seconds

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`audio` ((n_samples,) int16 little-endian) and `n_samples` of each row's `path`, `start` and `end`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        samples = decode_audio(row["path"], row["start"], row["end"])
        seconds = len(samples) / schema.SAMPLE_RATE
        if seconds < self.min_seconds:
            raise ClipError("too_short", f"{seconds:.3f} s, at least {self.min_seconds:g} s are needed")
        if not samples.any():
            raise ClipError("silent", f"all {len(samples)} samples are zero", absent=True)
        return {"audio": samples.tobytes(), "n_samples": len(samples)}
