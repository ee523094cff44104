"""Energy of a clip: the mean over time of the RMS of librosa's STFT (Goncalves & Busso 2022).

Windows are librosa's own, of 2048 samples every 512 (128 and 32 ms), Hann, centred and padded with zeros: the paper states none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.features.base import Context, Extractor, FeatureSection, guard

INPUTS = ("audio",)
TERMS = None
CHUNK_ROWS = 64
WINDOW = 2048
SHORT = "short_window: shorter than a window of 128 ms, so that its energy is too low"
JOB = {"memory_mb": 1500, "memory_mb_per_thread": 500, "minutes": 60}

TABLE = schema.make_feature_table(
    schema.column("rms", pa.list_(pa.float32(), 1), "(1,) mean over time of the STFT's RMS; a full-scale sine has .43"),
)


class Config(FeatureSection):
    """RMS energy. It has no keys."""

    def runs_parallel(self) -> bool:
        """Yes."""
        return True


class RmsExtractor:
    """Measures the energy of each clip."""

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`rms` from each row's `audio`."""
        return [guard(self._measure, row) for row in rows]

    def _measure(self, row: dict[str, Any]) -> dict[str, Any]:
        import librosa
        import numpy as np

        samples = np.frombuffer(row["audio"], "<i2").astype(np.float32) / 32768
        with warnings.catch_warnings():
            # Which names no clip; the row has a note.
            warnings.filterwarnings("ignore", "n_fft=.* is too large")
            spectrum = librosa.stft(samples, n_fft=WINDOW, pad_mode="constant")
        frames = librosa.feature.rms(S=np.abs(spectrum), frame_length=WINDOW)
        found = {"rms": frames.mean(axis=1, dtype=np.float64).astype(np.float32)}
        return found if len(samples) >= WINDOW else found | {"reason": SHORT}


def load(config: Config, context: Context) -> Extractor:
    """An extractor."""
    return RmsExtractor()
