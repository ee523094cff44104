"""The 25 low-level descriptors of eGeMAPSv02, frame by frame.

The target of a frame-level acoustic objective (D25, Sec. V-E, at 50 Hz: `window: stock`, `step_ms: 20`); for what the windows
mean see `emoadapt.features.egemaps`, whose vector is the mean of these frames when windows and step are the same.
"""

from __future__ import annotations

from typing import Literal

from emoadapt import schema
from emoadapt.acoustics.sections import WindowedSection
from emoadapt.features.base import Context, Extractor

INPUTS = ("audio",)
TERMS = "computed with openSMILE, whose licence is for research only"
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "memory_mb_per_thread": 500, "minutes": 120}

TABLE = schema.make_frames_table(
    "egemaps_frames",
    "the 25 eGeMAPSv02 LLD in the order and units of openSMILE (feature_names of its Python package)",
)


class Config(WindowedSection):
    """eGeMAPSv02 low-level descriptors, frame by frame."""

    step_ms: Literal[10, 16, 20] | None = None
    """From frame to frame; null = that of the window (16, `stock` 10). 20 is 50 Hz, the hop of the backbones."""


def load(config: Config, context: Context) -> Extractor:
    """Start openSMILE. Frame i begins i steps after the beginning of the clip."""
    from emoadapt.acoustics.components import WINDOWS
    from emoadapt.acoustics.smile import EGEMAPS, Smile, SmileExtractor, pack_frames

    windows = WINDOWS[config.window]
    if config.step_ms is not None:
        windows = windows._replace(step=config.step_ms / 1000)
    smile = Smile(EGEMAPS, "lld", windows, 25, context.beat)
    return SmileExtractor(smile, lambda frames: pack_frames("egemaps_frames", frames, windows.step))
